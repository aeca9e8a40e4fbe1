#!/usr/bin/env python3
"""The routes of one S3 multi-region access point, as its API reference describes them. No emulator has one.

  access_point.py REGION=BUCKET...

The first line of standard output is its port. All requests go to the first region's bucket at the beginning. A change is shown by the second
reading after it, as it takes a while there. Standard library alone.

GET /state answers {"routes": {region: percent}, "changes": how many were taken}.
"""
import http.server
import json
import re
import sys
import threading
import xml.etree.ElementTree as xml

LOCK = threading.Lock()
SPACE = "{http://awss3control.amazonaws.com/doc/2018-08-20/}"
ROUTES = re.compile(r"/v20180820/mrap/instances/[^?]+/routes")
STATE = {"routes": {}, "buckets": {}, "pending": None, "unread": 0, "changes": 0}


def shown():
    if STATE["pending"]:
        STATE["unread"] -= 1
        if STATE["unread"] <= 0:
            STATE["routes"], STATE["pending"] = STATE["pending"], None
    routes = "".join(f"<Route><Bucket>{STATE['buckets'][region]}</Bucket><Region>{region}</Region>"
                     f"<TrafficDialPercentage>{percent}</TrafficDialPercentage></Route>" for region, percent in STATE["routes"].items())
    return 200, f"<GetMultiRegionAccessPointRoutesResult><Routes>{routes}</Routes></GetMultiRegionAccessPointRoutesResult>"


def change(body):
    after = dict(STATE["pending"] or STATE["routes"])
    for route in xml.fromstring(body).iter(f"{SPACE}Route"):
        region, percent = route.findtext(f"{SPACE}Region"), route.findtext(f"{SPACE}TrafficDialPercentage")
        if region not in after or percent not in ("0", "100"):
            return 400, "<Error><Code>InvalidRequest</Code><Message>no such route</Message></Error>"
        after[region] = int(percent)
    if 100 not in after.values():
        return 400, "<Error><Code>InvalidRequest</Code><Message>at least one route must be on</Message></Error>"
    STATE["pending"], STATE["unread"], STATE["changes"] = after, 2, STATE["changes"] + 1
    return 200, ""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def reply(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with LOCK:
            if self.path == "/state":
                status, answer = 200, json.dumps({"routes": STATE["routes"], "changes": STATE["changes"]})
            elif not ROUTES.fullmatch(self.path):
                status, answer = 404, "<Error><Code>NoSuchMultiRegionAccessPoint</Code><Message>none</Message></Error>"
            else:
                status, answer = shown() if self.command == "GET" else change(body)
        payload = answer.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_PATCH = reply

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    for number, place in enumerate(sys.argv[1:]):
        region, _, STATE["buckets"][place.partition("=")[0]] = place.partition("=")
        STATE["routes"][region] = 0 if number else 100
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
