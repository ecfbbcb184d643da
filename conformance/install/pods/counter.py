"""The first process of the pod of the cases: counts how often each path was sent by POST, and tells it by GET; what it was sent
in order as `/order`."""

import json
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COUNTED, ORDER = Counter(), []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        COUNTED[self.path] += 1
        ORDER.append(self.path)
        self.answer(COUNTED)

    def do_GET(self):
        self.answer(ORDER if self.path == "/order" else COUNTED)

    def answer(self, told):
        body = json.dumps(told.copy()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
