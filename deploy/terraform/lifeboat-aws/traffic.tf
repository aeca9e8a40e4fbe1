# Standby takes over (docs/aws.md): an object in the region that takes over, under an inverted check of the other region's record.

resource "aws_s3_bucket" "first" {
  provider = aws.first
  bucket   = local.marker_buckets.first
  tags     = local.tags
}

resource "aws_s3_bucket" "second" {
  provider = aws.second
  bucket   = local.marker_buckets.second
  tags     = local.tags
}

resource "aws_s3_bucket_ownership_controls" "first" {
  provider = aws.first
  bucket   = aws_s3_bucket.first.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_ownership_controls" "second" {
  provider = aws.second
  bucket   = aws_s3_bucket.second.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

# Health checks sign nothing: this one key is readable by everyone, by the bucket's policy and in no other way.
resource "aws_s3_bucket_public_access_block" "first" {
  provider                = aws.first
  bucket                  = aws_s3_bucket.first.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = false
  restrict_public_buckets = false
}

resource "aws_s3_bucket_public_access_block" "second" {
  provider                = aws.second
  bucket                  = aws_s3_bucket.second.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = false
  restrict_public_buckets = false
}

locals {
  marker_policies = { for role, bucket in local.marker_buckets : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "HealthChecksReadTheMarker"
      Effect    = "Allow"
      Principal = "*"
      Action    = "s3:GetObject"
      Resource  = "arn:${local.aws}:s3:::${bucket}/${local.marker_key}"
    }]
  }) }
}

resource "aws_s3_bucket_policy" "first" {
  provider   = aws.first
  bucket     = aws_s3_bucket.first.id
  policy     = local.marker_policies.first
  depends_on = [aws_s3_bucket_public_access_block.first]
}

resource "aws_s3_bucket_policy" "second" {
  provider   = aws.second
  bucket     = aws_s3_bucket.second.id
  policy     = local.marker_policies.second
  depends_on = [aws_s3_bucket_public_access_block.second]
}

# Each record's check looks at the OTHER region's marker, and is inverted: a region is healthy while the other has not taken over.
resource "aws_route53_health_check" "record" {
  for_each           = { first = aws_s3_bucket.second.bucket_regional_domain_name, second = aws_s3_bucket.first.bucket_regional_domain_name }
  provider           = aws.first
  type               = "HTTPS_STR_MATCH"
  fqdn               = each.value
  port               = 443
  resource_path      = "/${local.marker_key}"
  search_string      = "lifeboat-takes-over"
  request_interval   = 10
  failure_threshold  = 3
  invert_healthcheck = true
  tags               = merge(local.tags, { Name = "lifeboat ${var.service}: ${each.key}" })
}

resource "aws_route53_record" "first" {
  provider        = aws.first
  zone_id         = var.zone_id
  name            = local.name
  type            = "CNAME"
  ttl             = var.ttl
  set_identifier  = "first"
  records         = [var.regions.first.endpoint]
  health_check_id = var.attach_health_checks ? aws_route53_health_check.record["first"].id : null
  failover_routing_policy {
    type = "PRIMARY"
  }
}

resource "aws_route53_record" "second" {
  provider        = aws.first
  zone_id         = var.zone_id
  name            = local.name
  type            = "CNAME"
  ttl             = var.ttl
  set_identifier  = "second"
  records         = [var.regions.second.endpoint]
  health_check_id = var.attach_health_checks ? aws_route53_health_check.record["second"].id : null
  failover_routing_policy {
    type = "SECONDARY"
  }
}
