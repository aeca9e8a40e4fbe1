#!/usr/bin/env bash
# Makes build/aws-venv, the Python environment of the AWS tests: the emulators and service models of tests/aws/requirements.txt,
# at exactly those versions.
exec "$(dirname "$0")/python-venv.sh" aws-venv tests/aws/requirements.txt 'botocore, ministack.app, moto.server'
