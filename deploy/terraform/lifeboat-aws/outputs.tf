output "lifeboat_yaml" {
  description = "What every agent starts with; for the command line's machines too: write it to /etc/lifeboat/lifeboat.yaml."
  value       = local.configuration
}

output "agent_policies" {
  description = "What each agent may do, by role."
  value       = local.agent_policy
}

output "agents" {
  description = "The machines: aws ssm start-session --target ID --region REGION"
  value = {
    (var.regions.first.name)   = module.first.instance_id
    (var.regions.second.name)  = module.second.instance_id
    (var.regions.witness.name) = module.witness.instance_id
  }
}

output "next_steps" {
  value = join("\n", concat(
    ["1. The token, once; the agents wait for it: aws secretsmanager put-secret-value --region ${var.regions.first.name} --secret-id ${local.token} --secret-string \"$(openssl rand -base64 32)\""],
    var.attach_health_checks ? [] : ["2. When both health checks are healthy, which takes about a minute: apply again with attach_health_checks = true. Until then the name does not move."],
    ["3. lifeboat check, with this configuration and the token, until it says 'ready'."],
  ))
}
