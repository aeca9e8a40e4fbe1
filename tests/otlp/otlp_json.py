"""Reads OTLP/HTTP JSON by OpenTelemetry's own definitions, and refuses what they do not know."""
import base64
import json
import re

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
NANOS = {"startTimeUnixNano", "endTimeUnixNano", "timeUnixNano"}


class Wrong(Exception):
    pass


def as_proto3_json(value, place=""):
    """OTLP writes ids in hexadecimal and enumerations as numbers, where proto3's mapping has base64 and names: the ids are changed to what
    json_format reads, and what OTLP demands beyond that mapping is checked on the way."""
    if isinstance(value, list):
        return [as_proto3_json(each, f"{place}[{at}]") for at, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, each in value.items():
        here = f"{place}.{key}"
        if key in IDS:
            if not isinstance(each, str) or not re.fullmatch(r"[0-9a-fA-F]{%d}" % (2 * IDS[key]), each):
                raise Wrong(f"{here}: '{each}' is no id of {IDS[key]} bytes in hexadecimal")
            if set(each) == {"0"}:
                raise Wrong(f"{here}: an id of zeros is none")
            each = base64.b64encode(bytes.fromhex(each)).decode()
        elif key in NANOS | {"intValue"} and not (isinstance(each, str) and re.fullmatch(r"-?[0-9]+", each)):
            raise Wrong(f"{here}: a number of 64 bits is a text of digits, not {each!r}")
        elif key in ("kind", "code") and not isinstance(each, int):
            raise Wrong(f"{here}: an enumeration is a number, not {each!r}")
        out[key] = as_proto3_json(each, here)
    return out


def parse(text):
    """An ExportTraceServiceRequest. Raises Wrong with the reason."""
    try:
        request = trace_service_pb2.ExportTraceServiceRequest()
        return json_format.Parse(json.dumps(as_proto3_json(json.loads(text))), request, ignore_unknown_fields=False)
    except (ValueError, json_format.ParseError) as problem:
        raise Wrong(str(problem)) from problem


def attributes_of(entries):
    def plain(value):
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [plain(each) for each in value.array_value.values]
        return getattr(value, kind) if kind else None

    names = [entry.key for entry in entries]
    if len(names) != len(set(names)):
        raise Wrong(f"an attribute stands twice among {names}")
    return {entry.key: plain(entry.value) for entry in entries}


def spans_of(request):
    """All spans as plain dictionaries, in their order, each with its resource; checked for what every trace must be."""
    spans = []
    for resource in request.resource_spans:
        who = attributes_of(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                spans.append({
                    "trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex(), "name": span.name,
                    "kind": span.kind, "began": span.start_time_unix_nano, "ended": span.end_time_unix_nano,
                    "attributes": attributes_of(span.attributes), "status": span.status.code, "message": span.status.message,
                    "events": [{"name": event.name, "at": event.time_unix_nano, "attributes": attributes_of(event.attributes)}
                               for event in span.events],
                    "scope": scope.scope.name, "resource": who})
    if not spans:
        raise Wrong("it holds no span")
    ids = {span["span"] for span in spans}
    if len(ids) != len(spans):
        raise Wrong("two spans have one id")
    roots = [span for span in spans if not span["parent"]]
    if len(roots) != 1:
        raise Wrong(f"{len(roots)} spans have no parent")
    for span in spans:
        if span["trace"] != roots[0]["trace"]:
            raise Wrong("spans of two traces in one request")
        if span["parent"] and span["parent"] not in ids:
            raise Wrong(f"the parent of '{span['name']}' is not there")
        if not roots[0]["began"] <= span["began"] <= span["ended"] <= roots[0]["ended"]:
            raise Wrong(f"'{span['name']}' lies outside of '{roots[0]['name']}', or ends before it begins")
    return spans
