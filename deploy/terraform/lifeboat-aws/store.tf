# The store: two replicas and a witness, of which any one can be lost (docs/aws.md, "The store's table").
resource "aws_dynamodb_table" "store" {
  provider                    = aws.first
  name                        = local.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "service"
  range_key                   = "item"
  deletion_protection_enabled = true # it holds who is the writer of a service that runs
  tags                        = local.tags

  attribute {
    name = "service"
    type = "S"
  }
  attribute {
    name = "item"
    type = "S"
  }
  point_in_time_recovery {
    enabled = true
  }
  replica {
    region_name                 = var.regions.second.name
    consistency_mode            = "STRONG"
    point_in_time_recovery      = true
    deletion_protection_enabled = true
  }
  global_table_witness {
    region_name = var.regions.witness.name
  }
}

# The token that agents and command line share, readable in each region by itself. Its value never comes through Terraform, whose
# state would keep it: output `next_steps` has the command.
resource "aws_secretsmanager_secret" "token" {
  provider    = aws.first
  name        = local.token
  description = "Token of the Lifeboat agents of ${var.service}"
  tags        = local.tags

  replica {
    region = var.regions.second.name
  }
  replica {
    region = var.regions.witness.name
  }
}

# Who is told of moves: in the witness region, which no failover leaves.
resource "aws_sns_topic" "moves" {
  provider = aws.witness
  name     = "lifeboat-${var.service}"
  tags     = local.tags
}

resource "aws_sns_topic_subscription" "person" {
  count     = var.notify_email == "" ? 0 : 1
  provider  = aws.witness
  topic_arn = aws_sns_topic.moves.arn
  protocol  = "email"
  endpoint  = var.notify_email
}
