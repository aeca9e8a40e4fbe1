output "instance_id" {
  value = aws_instance.agent.id
}

output "heard" {
  description = "Who may speak to the agent: by CIDR, the rule's id."
  value       = { for cidr, rule in aws_vpc_security_group_ingress_rule.speak : cidr => rule.id }
}
