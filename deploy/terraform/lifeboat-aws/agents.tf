locals {
  # The same in all three regions.
  agent = {
    service            = var.service
    port               = var.port
    configuration      = local.configuration
    token              = local.token
    token_arn          = aws_secretsmanager_secret.token.arn
    operator_cidrs     = var.operator_cidrs
    instance_type      = var.instance_type
    log_retention_days = var.log_retention_days
    tags               = local.tags
  }
}

module "first" {
  source       = "./agent"
  providers    = { aws = aws.first }
  common       = local.agent
  region       = var.regions.first
  role         = local.roles.first
  policy       = local.agent_policy.first
  image        = var.image[var.regions.first.name]
  peers        = [var.regions.second.agent_address, var.regions.witness.agent_address]
  alarm_topics = lookup(var.alarm_topics, var.regions.first.name, [])
}

module "second" {
  source       = "./agent"
  providers    = { aws = aws.second }
  common       = local.agent
  region       = var.regions.second
  role         = local.roles.second
  policy       = local.agent_policy.second
  image        = var.image[var.regions.second.name]
  peers        = [var.regions.first.agent_address, var.regions.witness.agent_address]
  alarm_topics = lookup(var.alarm_topics, var.regions.second.name, [])
}

module "witness" {
  source       = "./agent"
  providers    = { aws = aws.witness }
  common       = local.agent
  region       = var.regions.witness
  role         = local.roles.witness
  policy       = local.agent_policy.witness
  image        = var.image[var.regions.witness.name]
  peers        = [var.regions.first.agent_address, var.regions.second.agent_address]
  alarm_topics = lookup(var.alarm_topics, var.regions.witness.name, [])
}

# The lag that a failover would lose: AWS tells it in the secondary's region, so each region has an alarm, and that of the region
# which serves has no data.
resource "aws_cloudwatch_metric_alarm" "lag_first" {
  provider            = aws.first
  alarm_name          = "lifeboat-${var.service}-lag"
  alarm_description   = "Aurora's lag in this region is above a minute: a failover to it loses that, and more."
  namespace           = "AWS/RDS"
  metric_name         = "AuroraGlobalDBRPOLag"
  dimensions          = { DBClusterIdentifier = element(split(":", var.regions.first.cluster_arn), 6) }
  statistic           = "Maximum"
  unit                = "Milliseconds"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 60000
  treat_missing_data  = "notBreaching"
  alarm_actions       = lookup(var.alarm_topics, var.regions.first.name, [])
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "lag_second" {
  provider            = aws.second
  alarm_name          = "lifeboat-${var.service}-lag"
  alarm_description   = "Aurora's lag in this region is above a minute: a failover to it loses that, and more."
  namespace           = "AWS/RDS"
  metric_name         = "AuroraGlobalDBRPOLag"
  dimensions          = { DBClusterIdentifier = element(split(":", var.regions.second.cluster_arn), 6) }
  statistic           = "Maximum"
  unit                = "Milliseconds"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 60000
  treat_missing_data  = "notBreaching"
  alarm_actions       = lookup(var.alarm_topics, var.regions.second.name, [])
  tags                = local.tags
}
