variable "common" {
  description = "What all agents of the service have alike."
  type = object({
    service            = string
    port               = number
    configuration      = string
    token              = string
    token_arn          = string
    operator_cidrs     = list(string)
    instance_type      = string
    log_retention_days = number
    tags               = map(string)
  })
}

variable "region" {
  description = "Where this one is."
  type        = object({ name = string, vpc_id = string, subnet_id = string, agent_address = string })
}

variable "role" {
  description = "Name of its IAM role. Without a path: lifeboat check asks IAM about it by name."
  type        = string
}

variable "policy" {
  description = "What it may do of what Lifeboat does, as JSON."
  type        = string
}

variable "image" {
  type = string
}

variable "peers" {
  description = "Addresses of the other agents."
  type        = list(string)
}

variable "alarm_topics" {
  type    = list(string)
  default = []
}
