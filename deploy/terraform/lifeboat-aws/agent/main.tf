# One agent: a small machine with a fixed address and a disk of its own, which runs the container under systemd. Not Fargate: an agent's
# address stands in lifeboat.yaml, and its journal, its evidence and what it has seen must outlive the container.

data "aws_partition" "here" {}

data "aws_caller_identity" "here" {}

data "aws_ssm_parameter" "ami" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

locals {
  name      = var.role
  arn       = "arn:${data.aws_partition.here.partition}"
  account   = data.aws_caller_identity.here.account_id
  parameter = "/lifeboat/${var.common.service}/lifeboat.yaml"
}

# ---- what it may do ----

resource "aws_iam_role" "agent" {
  name = var.role
  tags = var.common.tags
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "lifeboat" {
  name   = "lifeboat"
  role   = aws_iam_role.agent.id
  policy = var.policy
}

# What the machine does around the agent: its start, its log, its image.
resource "aws_iam_role_policy" "machine" {
  name = "machine"
  role = aws_iam_role.agent.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Configuration"
        Effect   = "Allow"
        Action   = ["ssm:GetParameter"]
        Resource = ["${local.arn}:ssm:${var.region.name}:${local.account}:parameter${local.parameter}"]
      },
      {
        Sid    = "Token"
        Effect = "Allow"
        Action = ["secretsmanager:GetSecretValue"]
        # A replica has the original's name and suffix, in its own region.
        Resource = [join(":", concat(slice(split(":", var.common.token_arn), 0, 3), [var.region.name], slice(split(":", var.common.token_arn), 4, 7)))]
      },
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.agent.arn}:*"]
      },
      {
        Sid      = "ImageLogin"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      },
      {
        Sid      = "Image"
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
        Resource = ["${local.arn}:ecr:${var.region.name}:${local.account}:repository/*"]
      },
    ]
  })
}

# A shell without SSH: aws ssm start-session.
resource "aws_iam_role_policy_attachment" "session" {
  role       = aws_iam_role.agent.name
  policy_arn = "${local.arn}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "agent" {
  name = var.role
  role = aws_iam_role.agent.name
}

# ---- who may speak to it ----

resource "aws_security_group" "agent" {
  name        = local.name
  description = "Lifeboat agent of ${var.common.service}"
  vpc_id      = var.region.vpc_id
  tags        = merge(var.common.tags, { Name = local.name })
}

resource "aws_vpc_security_group_ingress_rule" "speak" {
  for_each          = toset(concat([for peer in var.peers : "${peer}/32"], var.common.operator_cidrs))
  security_group_id = aws_security_group.agent.id
  description       = "Agents, operators, Prometheus"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.common.port
  to_port           = var.common.port
}

resource "aws_vpc_security_group_egress_rule" "peers" {
  for_each          = toset(var.peers)
  security_group_id = aws_security_group.agent.id
  description       = "Other agents"
  cidr_ipv4         = "${each.value}/32"
  ip_protocol       = "tcp"
  from_port         = var.common.port
  to_port           = var.common.port
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.agent.id
  description       = "APIs of AWS, the image"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "names" {
  for_each          = toset(["tcp", "udp"])
  security_group_id = aws_security_group.agent.id
  description       = "The zone's name servers are asked themselves"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = each.value
  from_port         = 53
  to_port           = 53
}

# ---- the machine ----

resource "aws_cloudwatch_log_group" "agent" {
  name              = "/lifeboat/${var.common.service}"
  retention_in_days = var.common.log_retention_days
  tags              = var.common.tags
}

# A change of the configuration is taken by a restart: systemctl restart lifeboat-agent, one region after the other.
resource "aws_ssm_parameter" "configuration" {
  name  = local.parameter
  type  = "String"
  value = var.common.configuration
  tags  = var.common.tags
}

resource "aws_instance" "agent" {
  ami                    = data.aws_ssm_parameter.ami.value
  instance_type          = var.common.instance_type
  subnet_id              = var.region.subnet_id
  private_ip             = var.region.agent_address
  vpc_security_group_ids = [aws_security_group.agent.id]
  iam_instance_profile   = aws_iam_instance_profile.agent.name
  user_data = templatefile("${path.module}/user-data.yaml.tftpl", {
    region    = var.region.name
    address   = "${var.region.agent_address}:${var.common.port}"
    image     = var.image
    registry  = split("/", var.image)[0]
    parameter = aws_ssm_parameter.configuration.name
    secret    = var.common.token
    log_group = aws_cloudwatch_log_group.agent.name
  })
  user_data_replace_on_change = false # its disk holds the journal and the evidence
  disable_api_termination     = true
  ebs_optimized               = true
  tags                        = merge(var.common.tags, { Name = local.name })
  volume_tags                 = merge(var.common.tags, { Name = local.name })

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # the container has the machine's own network
  }
  root_block_device {
    encrypted   = true
    volume_type = "gp3"
  }
  maintenance_options {
    auto_recovery = "default"
  }

  lifecycle {
    ignore_changes = [ami] # a newer image is no reason for another machine
  }
}

resource "aws_cloudwatch_metric_alarm" "machine" {
  alarm_name          = "${local.name}-agent"
  alarm_description   = "The machine of the Lifeboat agent fails its checks: it does not vote."
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { InstanceId = aws_instance.agent.id }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topics
  tags                = var.common.tags
}

resource "aws_cloudwatch_log_metric_filter" "errors" {
  name           = "${local.name}-errors"
  log_group_name = aws_cloudwatch_log_group.agent.name
  pattern        = "{ $.level = \"error\" }"
  metric_transformation {
    name          = "${local.name}-errors"
    namespace     = "Lifeboat"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${local.name}-errors"
  alarm_description   = "The Lifeboat agent says that something went wrong: lifeboat explain."
  namespace           = "Lifeboat"
  metric_name         = aws_cloudwatch_log_metric_filter.errors.metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topics
  tags                = var.common.tags
}
