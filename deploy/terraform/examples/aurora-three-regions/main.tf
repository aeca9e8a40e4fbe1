# An Aurora global database in us-east-1 and us-west-2, a witness in us-east-2. Copy this folder, and change what terraform.tfvars.example says.
terraform {
  required_version = ">= 1.9.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.22.0"
    }
  }
  # Keep the state outside of the regions that may be lost, and never only in one of them.
}

provider "aws" {
  alias  = "first"
  region = "us-east-1"
}

provider "aws" {
  alias  = "second"
  region = "us-west-2"
}

provider "aws" {
  alias  = "witness"
  region = "us-east-2"
}

module "lifeboat" {
  source    = "../../lifeboat-aws"
  providers = { aws.first = aws.first, aws.second = aws.second, aws.witness = aws.witness }

  service              = "orders"
  global_cluster       = "orders"
  regions              = var.regions
  zone_id              = var.zone_id
  name                 = "db.orders.example.net"
  marker_bucket_prefix = "example-net-orders-marker"
  image                = var.image
  attach_health_checks = var.attach_health_checks
  operator_cidrs       = var.operator_cidrs
  notify_email         = var.notify_email
}

output "lifeboat_yaml" {
  value = module.lifeboat.lifeboat_yaml
}

output "agents" {
  value = module.lifeboat.agents
}

output "next_steps" {
  value = module.lifeboat.next_steps
}
