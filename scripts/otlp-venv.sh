#!/usr/bin/env bash
# Makes build/otlp-venv, the Python environment of the tests of traces: OpenTelemetry's own definitions of OTLP.
exec "$(dirname "$0")/python-venv.sh" otlp-venv tests/otlp/requirements.txt 'google.protobuf.json_format, opentelemetry.proto.collector.trace.v1.trace_service_pb2'
