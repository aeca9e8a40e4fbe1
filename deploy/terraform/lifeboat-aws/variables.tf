variable "service" {
  description = "Name of the service: 'service' of lifeboat.yaml, and part of every name here."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,23}$", var.service))
    error_message = "A service is named by lower-case letters, digits and '-', a letter first, at most 24."
  }
}

variable "regions" {
  description = <<-EOT
    The three regions. `name`: as AWS names it, the region of the provider of this alias. `agent_address`: a free private address of the
    subnet, for good: the agents find each other by it. `cluster_arn`, `endpoint`: of the region's Aurora cluster, and what the service's
    name leads to while this region serves. `subnet_id` must reach AWS's APIs, and the addresses of the other two.
  EOT
  type = object({
    first = object({
      name = string, vpc_id = string, subnet_id = string, agent_address = string, cluster_arn = string, endpoint = string
    })
    second = object({
      name = string, vpc_id = string, subnet_id = string, agent_address = string, cluster_arn = string, endpoint = string
    })
    witness = object({
      name = string, vpc_id = string, subnet_id = string, agent_address = string
    })
  })
  validation {
    condition     = length(distinct([for r in values(var.regions) : r.name])) == 3
    error_message = "First, second and witness must be three different regions: of two in one region, one loss takes both."
  }
  validation {
    # Where tables with multi-region strong consistency can be: all three of one set.
    condition = anytrue([for set in [
      ["us-east-1", "us-east-2", "us-west-2"],
      ["eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1"],
      ["ap-northeast-1", "ap-northeast-2", "ap-northeast-3"],
    ] : alltrue([for r in values(var.regions) : contains(set, r.name)])])
    error_message = "The store's table is strongly consistent only over three regions of one set: US (us-east-1, us-east-2, us-west-2), EU (eu-west-1, eu-west-2, eu-west-3, eu-central-1) or AP (ap-northeast-1, -2, -3)."
  }
  validation {
    condition     = alltrue([for r in values(var.regions) : can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.)", r.agent_address))])
    error_message = "Agents speak to each other without TLS: their addresses must be private ones (10/8, 172.16/12, 192.168/16, 100.64/10)."
  }
  validation {
    condition     = length(distinct([for r in values(var.regions) : r.agent_address])) == 3
    error_message = "Each agent needs an address of its own; VPCs whose ranges overlap cannot be joined."
  }
  validation {
    condition     = alltrue([for r in [var.regions.first, var.regions.second] : can(regex("^arn:[a-z-]+:rds:${r.name}:[0-9]{12}:cluster:", r.cluster_arn))])
    error_message = "cluster_arn must be the ARN of an Aurora cluster in the region that it stands for."
  }
}

variable "global_cluster" {
  description = "Identifier of the Aurora global database, which stands already."
  type        = string
}

variable "zone_id" {
  description = "Id of the public hosted zone of `name`."
  type        = string
  validation {
    condition     = can(regex("^Z[A-Z0-9]+$", var.zone_id))
    error_message = "A hosted zone's id begins with Z and has upper-case letters and digits alone."
  }
}

variable "name" {
  description = "The name that clients follow, such as db.orders.example.net."
  type        = string
}

variable "ttl" {
  description = "Seconds for which clients may keep an answer: part of every outage."
  type        = number
  default     = 60
  validation {
    condition     = var.ttl >= 1 && var.ttl <= 300
    error_message = "A TTL of 1 to 300 seconds."
  }
}

variable "attach_health_checks" {
  description = "false on the first apply, true on the second: a new inverted check is unhealthy until it has data."
  type        = bool
  default     = false
}

variable "marker_bucket_prefix" {
  description = "Buckets PREFIX-REGION are made for the objects by which the standby takes over. Bucket names are unique in all of AWS."
  type        = string
}

variable "image" {
  description = "The container image of the agent (deploy/docker, target 'agent'), by region: each region pulls from a registry of its own."
  type        = map(string)
  validation {
    condition     = alltrue([for image in values(var.image) : can(regex("(:[^:/]+|@sha256:[0-9a-f]{64})$", image)) && !endswith(image, ":latest")])
    error_message = "Name a version or a digest of the image, not ':latest': all three regions must run the same program."
  }
}

variable "automation" {
  description = "'observe' decides and says so, and changes nothing; 'act' fails over by itself."
  type        = string
  default     = "observe"
  validation {
    condition     = contains(["observe", "act"], var.automation)
    error_message = "'observe' or 'act'."
  }
}

variable "objectives" {
  description = "What every run is judged against, as durations of lifeboat.yaml."
  type        = object({ rto = string, rpo = string })
  default     = { rto = "10min", rpo = "2min" }
}

variable "loss_limit" {
  description = "The most that an automatic failover may lose; above it, or where the loss is unknown, a person is asked. At least 1min."
  type        = string
  default     = "3min"
}

variable "failover_after" {
  description = "How long a majority of the agents must find the writer's region silent. At least 10s."
  type        = string
  default     = "30s"
}

variable "detach_when_needed" {
  description = "Whether the secondary is cut out of the global database where Aurora refuses to fail over. It ends the global database. false: the agents may not even ask for it."
  type        = bool
  default     = false
}

variable "port" {
  description = "Port of the agents."
  type        = number
  default     = 7400
}

variable "operator_cidrs" {
  description = "Who else may speak to the agents: the command line's machines, Prometheus."
  type        = list(string)
  default     = []
}

variable "instance_type" {
  description = "Of the agents' machines. An agent needs 30 MiB and hardly a processor; x86-64, as the image is."
  type        = string
  default     = "t3.micro"
}

variable "notify_email" {
  description = "Who is told of moves by e-mail, and has to confirm it. Empty: subscribe something else to the topic."
  type        = string
  default     = ""
}

variable "alarm_topics" {
  description = "Topics for the CloudWatch alarms, by region. An alarm can only tell topics of its own region."
  type        = map(list(string))
  default     = {}
}

variable "log_retention_days" {
  type    = number
  default = 90
}

variable "tags" {
  type    = map(string)
  default = {}
}
