terraform {
  required_version = ">= 1.9.0" # templatestring
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.22.0" # global_table_witness
      # One for each region of the service. Records of the zone are made through the first.
      configuration_aliases = [aws.first, aws.second, aws.witness]
    }
  }
}
