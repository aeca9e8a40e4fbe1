#!/usr/bin/env python3
"""The judge of traces, judged: it takes what the specification shows as an example, and nothing that is near it."""
import copy
import json
import unittest

import otlp_json

# examples/trace.json of the repository open-telemetry/opentelemetry-proto, its one span with its parent's id left out.
EXAMPLE = {"resourceSpans": [{
    "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
    "scopeSpans": [{
        "scope": {"name": "my.library", "version": "1.0.0",
                  "attributes": [{"key": "my.scope.attribute", "value": {"stringValue": "some scope attribute"}}]},
        "spans": [{
            "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "name": "I'm a server span",
            "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000", "kind": 2,
            "attributes": [{"key": "my.span.attr", "value": {"stringValue": "some value"}}]}]}]}]}


class Judge(unittest.TestCase):
    def changed(self, change):
        example = copy.deepcopy(EXAMPLE)
        change(example["resourceSpans"][0]["scopeSpans"][0]["spans"])
        return json.dumps(example)

    def refused(self, change, why):
        with self.assertRaisesRegex(otlp_json.Wrong, why):
            otlp_json.spans_of(otlp_json.parse(self.changed(change)))

    def test_takes_the_example(self):
        span, = otlp_json.spans_of(otlp_json.parse(json.dumps(EXAMPLE)))
        self.assertEqual(span["trace"], "5b8efff798038103d269b633813fc60c")
        self.assertEqual(span["began"], 1544712660000000000)
        self.assertEqual(span["attributes"], {"my.span.attr": "some value"})
        self.assertEqual(span["resource"], {"service.name": "my.service"})

    def test_refuses_what_is_near_it(self):
        self.refused(lambda spans: spans[0].update(traceId="W47/95gDgQPSabYzgT/GDA=="), "hexadecimal")
        self.refused(lambda spans: spans[0].update(spanId="EEE19B7EC3C1B1"), "8 bytes")
        self.refused(lambda spans: spans[0].update(spanId="0" * 16), "zeros")
        self.refused(lambda spans: spans[0].update(startTimeUnixNano=1544712660000000000), "text of digits")
        self.refused(lambda spans: spans[0].update(kind="SPAN_KIND_SERVER"), "enumeration")
        self.refused(lambda spans: spans[0].update(start_time="1"), "no field named")
        self.refused(lambda spans: spans[0].update(endTimeUnixNano="1"), "ends before")
        self.refused(lambda spans: spans[0].update(parentSpanId="EEE19B7EC3C1B173"), "0 spans have no parent")
        self.refused(lambda spans: spans.append(dict(spans[0])), "one id")
        self.refused(lambda spans: spans.append(dict(spans[0], spanId="1" * 16, parentSpanId="2" * 16)), "is not there")
        self.refused(lambda spans: spans[0]["attributes"].append(spans[0]["attributes"][0]), "twice")
        self.refused(lambda spans: spans[0]["attributes"][0]["value"].update(intValue="5"), "(?i)oneof|multiple")
        self.refused(lambda spans: spans.clear(), "no span")
        with self.assertRaises(otlp_json.Wrong):
            otlp_json.parse(b"{")


if __name__ == "__main__":
    unittest.main()
