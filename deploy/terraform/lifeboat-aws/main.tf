# Lifeboat for an Aurora global database: the store's table, an agent in each of three regions, the name in Route 53, and the
# lifeboat.yaml that fits. The database itself, the networks and the zone stand already.

data "aws_caller_identity" "here" {
  provider = aws.first
}

data "aws_partition" "here" {
  provider = aws.first
}

locals {
  data    = { first = var.regions.first, second = var.regions.second }
  account = data.aws_caller_identity.here.account_id
  aws     = data.aws_partition.here.partition
  tags    = merge(var.tags, { "lifeboat:service" = var.service })
  name    = trimsuffix(var.name, ".")

  # By role. Named here and not read from the resources: the configuration is part of what the machines start with.
  marker_buckets = { for role, r in local.data : role => "${var.marker_bucket_prefix}-${r.name}" }
  marker_key     = "${var.service}-db"
  table          = "lifeboat-${var.service}"
  token          = "lifeboat-${var.service}-token"
  topic          = "arn:${local.aws}:sns:${var.regions.witness.name}:${local.account}:lifeboat-${var.service}"
  roles          = { for role, r in var.regions : role => "lifeboat-${var.service}-${r.name}" }

  configuration = templatefile("${path.module}/lifeboat.yaml.tftpl", {
    service            = var.service
    objectives         = var.objectives
    automation         = var.automation
    failover_after     = var.failover_after
    loss_limit         = var.loss_limit
    detach_when_needed = var.detach_when_needed
    table              = local.table
    first              = var.regions.first
    second             = var.regions.second
    witness            = var.regions.witness
    port               = var.port
    global_cluster     = var.global_cluster
    zone_id            = var.zone_id
    name               = "${local.name}."
    markers            = { for role, bucket in local.marker_buckets : role => "s3://${bucket}/${local.marker_key}" }
    topic              = local.topic
  })
}
