variable "regions" {
  description = "As the module's variable of this name."
  type        = any
}

variable "zone_id" {
  type = string
}

variable "image" {
  type = map(string)
}

variable "attach_health_checks" {
  type    = bool
  default = false
}

variable "operator_cidrs" {
  type    = list(string)
  default = []
}

variable "notify_email" {
  type    = string
  default = ""
}
