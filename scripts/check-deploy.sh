#!/usr/bin/env bash
# Checks deploy/ with the tools that this machine has, and says which it has not: promtool (Debian: prometheus), terraform or tofu,
# hadolint, shellcheck. Part of make check. What needs none of them is a test (tests/deploy).
set -euo pipefail
cd "$(dirname "$0")/../deploy"
without() { echo "check-deploy: $1 is not installed; $2 was not checked" >&2; }

if command -v promtool >/dev/null; then
  promtool check rules prometheus/lifeboat-alerts.yml
  (cd prometheus && promtool check config prometheus.yml && promtool test rules lifeboat-alerts-test.yml)
else
  without promtool "what the alert rules do"
fi
terraform=$(command -v terraform || command -v tofu || true)
if [ -n "$terraform" ]; then
  "$terraform" fmt -check -diff -recursive terraform
  # Needs the AWS provider, from its registry or a mirror of yours.
  if (cd terraform/examples/aurora-three-regions && [ -d .terraform ]); then
    (cd terraform/examples/aurora-three-regions && "$terraform" validate)
  else
    echo "check-deploy: terraform init was not run in deploy/terraform/examples/aurora-three-regions; only the format was checked" >&2
  fi
else
  without "terraform or tofu" deploy/terraform
fi
if command -v hadolint >/dev/null; then hadolint docker/Dockerfile; else without hadolint docker/Dockerfile; fi
if command -v shellcheck >/dev/null; then shellcheck docker/region-init ../scripts/runtime-packages.sh ../scripts/check-deploy.sh; else without shellcheck "the shell of deploy/docker"; fi
