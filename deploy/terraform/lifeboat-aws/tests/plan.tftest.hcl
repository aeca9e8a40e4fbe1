# terraform test: the module planned and applied against mocks of the provider's own schema; AWS is not asked and no credentials are needed.

mock_provider "aws" {
  alias = "first"
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:lifeboat-orders-token-AbCdEf" }
  }
}

mock_provider "aws" {
  alias = "second"
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

mock_provider "aws" {
  alias = "witness"
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
}

variables {
  service              = "orders"
  global_cluster       = "orders"
  zone_id              = "Z0123456789ABCDEFGHIJ"
  name                 = "db.orders.example.net."
  marker_bucket_prefix = "example-net-orders-marker"
  image                = { us-east-1 = "registry/lifeboat:0.1.0", us-west-2 = "registry/lifeboat:0.1.0", us-east-2 = "registry/lifeboat:0.1.0" }
  operator_cidrs       = ["10.0.0.0/16"]
  regions = {
    first = {
      name          = "us-east-1"
      vpc_id        = "vpc-1"
      subnet_id     = "subnet-1"
      agent_address = "10.1.0.10"
      cluster_arn   = "arn:aws:rds:us-east-1:123456789012:cluster:orders-east"
      endpoint      = "orders-east.cluster-abcdefghijkl.us-east-1.rds.amazonaws.com"
    }
    second = {
      name          = "us-west-2"
      vpc_id        = "vpc-2"
      subnet_id     = "subnet-2"
      agent_address = "10.2.0.10"
      cluster_arn   = "arn:aws:rds:us-west-2:123456789012:cluster:orders-west"
      endpoint      = "orders-west.cluster-mnopqrstuvwx.us-west-2.rds.amazonaws.com"
    }
    witness = {
      name          = "us-east-2"
      vpc_id        = "vpc-3"
      subnet_id     = "subnet-3"
      agent_address = "10.3.0.10"
    }
  }
}

run "the_table_is_strongly_consistent_in_three_regions" {
  command = plan
  assert {
    condition = alltrue([
      for replica in aws_dynamodb_table.store.replica : replica.region_name == "us-west-2" && replica.consistency_mode == "STRONG"
    ]) && length(aws_dynamodb_table.store.replica) == 1
    error_message = "one replica in the second region, strongly consistent"
  }
  assert {
    condition     = aws_dynamodb_table.store.global_table_witness[0].region_name == "us-east-2"
    error_message = "the witness lies in the third region"
  }
}

run "each_records_check_looks_at_the_other_region_and_is_inverted" {
  command = plan
  override_resource {
    override_during = plan
    target          = aws_s3_bucket.first
    values          = { bucket_regional_domain_name = "first.s3.us-east-1.amazonaws.com" }
  }
  override_resource {
    override_during = plan
    target          = aws_s3_bucket.second
    values          = { bucket_regional_domain_name = "second.s3.us-west-2.amazonaws.com" }
  }
  assert {
    condition     = aws_route53_health_check.record["first"].fqdn == "second.s3.us-west-2.amazonaws.com" && aws_route53_health_check.record["second"].fqdn == "first.s3.us-east-1.amazonaws.com"
    error_message = "the PRIMARY record's check looks at the second region's marker, and the other way round"
  }
  assert {
    condition     = alltrue([for check in aws_route53_health_check.record : check.invert_healthcheck])
    error_message = "a region is healthy while the other one has not taken over"
  }
  assert {
    condition     = aws_route53_record.first.failover_routing_policy[0].type == "PRIMARY" && aws_route53_record.second.failover_routing_policy[0].type == "SECONDARY"
    error_message = "the first region is answered at rest"
  }
  assert {
    condition     = aws_route53_record.first.health_check_id == null && aws_route53_record.second.health_check_id == null
    error_message = "a new inverted check is unhealthy until it has data: not attached on the first apply"
  }
}

run "an_agent_may_do_what_the_program_says_and_nothing_else" {
  command = plan
  assert {
    condition     = !strcontains(join("", values(output.agent_policies)), "{") || !can(regex("\\{[a-z_]+\\}", join("", values(output.agent_policies))))
    error_message = "every parameter has a value"
  }
  assert {
    condition     = !strcontains(join("", values(output.agent_policies)), "not-used")
    error_message = "no statement is taken whose parameters have no value"
  }
  assert {
    condition = toset(flatten([for statement in jsondecode(output.agent_policies.witness).Statement : statement.Resource if statement.Sid == "Aurora3"])) == toset([
      "arn:aws:rds::123456789012:global-cluster:orders", "arn:aws:rds:us-east-1:123456789012:cluster:orders-east", "arn:aws:rds:us-west-2:123456789012:cluster:orders-west",
    ])
    error_message = "an agent acts for both data regions"
  }
  assert {
    condition     = !strcontains(join("", values(output.agent_policies)), "RemoveFromGlobalCluster")
    error_message = "what ends the global database is not allowed unless it is asked for"
  }
  assert {
    condition     = alltrue([for policy in output.agent_policies : length(policy) < 10240])
    error_message = "IAM takes 10,240 characters of a role's policies"
  }
}

run "detaching_is_allowed_when_it_is_asked_for" {
  command = plan
  variables {
    detach_when_needed = true
  }
  assert {
    condition     = strcontains(output.agent_policies.first, "RemoveFromGlobalCluster") && strcontains(output.lifeboat_yaml, "detach_when_needed: true")
    error_message = "policy and configuration say the same"
  }
}

run "agents_hear_each_other_and_operators_alone" {
  command = plan
  assert {
    condition     = toset(keys(module.first.heard)) == toset(["10.2.0.10/32", "10.3.0.10/32", "10.0.0.0/16"])
    error_message = "the other two agents, and the operators"
  }
  assert {
    condition     = yamldecode(output.lifeboat_yaml).regions[0].agent == "10.1.0.10:7400"
    error_message = "the machine's address is the configuration's"
  }
}

run "all_of_it_fits_together" {
  command = apply
  variables {
    attach_health_checks = true
  }
  assert {
    condition     = aws_route53_record.first.health_check_id == aws_route53_health_check.record["first"].id
    error_message = "attached on the second apply"
  }
  assert {
    condition     = yamldecode(output.lifeboat_yaml).aws.traffic.markers.us-west-2 == "s3://${aws_s3_bucket.second.bucket}/orders-db"
    error_message = "the configuration names the bucket that is made"
  }
}

run "two_roles_in_one_region_are_refused" {
  command = plan
  variables {
    regions = {
      first = {
        name          = "us-east-1"
        vpc_id        = "vpc-1"
        subnet_id     = "subnet-1"
        agent_address = "10.1.0.10"
        cluster_arn   = "arn:aws:rds:us-east-1:123456789012:cluster:orders-east"
        endpoint      = "a.example.net"
      }
      second = {
        name          = "us-west-2"
        vpc_id        = "vpc-2"
        subnet_id     = "subnet-2"
        agent_address = "10.2.0.10"
        cluster_arn   = "arn:aws:rds:us-west-2:123456789012:cluster:orders-west"
        endpoint      = "b.example.net"
      }
      witness = {
        name          = "us-east-1"
        vpc_id        = "vpc-3"
        subnet_id     = "subnet-3"
        agent_address = "10.3.0.10"
      }
    }
  }
  expect_failures = [var.regions]
}
