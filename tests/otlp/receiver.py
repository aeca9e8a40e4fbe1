#!/usr/bin/env python3
"""receiver.py FOLDER [--silent]: a collector that judges what it gets. Prints its port; then each request is one line of FOLDER/requests.jsonl,
{"spans": […]} or {"wrong": why}, and is answered 200 or 400. With --silent none is answered, ever; the line is {"held": true}."""
import http.server
import json
import os
import sys
import threading

import otlp_json

folder, silent = sys.argv[1], "--silent" in sys.argv[2:]
lock = threading.Lock()


def note(entry):
    with lock, open(os.path.join(folder, "requests.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if silent:
            note({"held": True})
            threading.Event().wait()
        try:
            if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/json":
                raise otlp_json.Wrong(f"'{self.path}' with '{self.headers['Content-Type']}'")
            note({"spans": otlp_json.spans_of(otlp_json.parse(body)), "user_agent": self.headers["User-Agent"]})
            status, answer = 200, b'{"partialSuccess":{}}'
        except otlp_json.Wrong as problem:
            note({"wrong": str(problem), "body": body.decode(errors="replace")})
            status, answer = 400, b"{}"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(server.server_address[1], flush=True)
server.serve_forever()
