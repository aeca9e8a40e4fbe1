# What an agent may do: the statements of deploy/aws/agent-policy.json that this set-up uses, with its names put in. That file is
# written from the program's own list; nothing of it is repeated here.

locals {
  policy_source = file("${path.module}/../../aws/agent-policy.json")
  # "{name}" becomes "${name}", which is how Terraform spells it. JSON's own braces are never followed by a name and a brace.
  policy_template = replace(local.policy_source, "/\\{([a-z_]+)\\}/", "$${$1}")
  policy_names    = toset(flatten(regexall("\\{([a-z_]+)\\}", local.policy_source)))

  # The parts of docs/aws.md that lifeboat.yaml.tftpl configures.
  policy_parts = ["Aurora", "StandbyTakesOver", "Sns", "Store", "Check"]

  # An agent acts for either data region, so each statement is made for both, and their resources are put together.
  policy_scopes = { for role, agent in local.roles : role => [for where, r in local.data : merge(
    { for name in local.policy_names : name => "not-used" },
    {
      partition      = local.aws
      account        = local.account
      service        = var.service
      agent_role     = agent
      global_cluster = var.global_cluster
      data_region    = r.name
      cluster        = element(split(":", r.cluster_arn), 6)
      store_region   = r.name
      table          = local.table
      zone           = var.zone_id
      marker         = "${local.marker_buckets[where]}/${local.marker_key}"
      marker_bucket  = local.marker_buckets[where]
      topic          = local.topic
    }
  )] }
  policy_rendered = { for role, scopes in local.policy_scopes : role => [
    for scope in scopes : jsondecode(templatestring(local.policy_template, scope)).Statement
  ] }
  agent_policy = { for role, rendered in local.policy_rendered : role => jsonencode({
    Version = "2012-10-17"
    Statement = [for at, statement in rendered[0] : merge(
      { for key, value in statement : key => value if !contains(["Resource", "Action"], key) },
      {
        Action   = [for action in statement.Action : action if action != "rds:RemoveFromGlobalCluster" || var.detach_when_needed]
        Resource = distinct(flatten([for each in rendered : each[at].Resource]))
      }
    ) if contains(local.policy_parts, replace(statement.Sid, "/[0-9]+$/", ""))]
  }) }
}
