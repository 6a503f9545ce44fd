"""A proxy between a function and the engine, which throttles deletes and writes of records."""

import contextlib
import http.client
import http.server
import json
import sys
import threading
import urllib.parse

THROTTLED = {
    "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "message": "The test throttles this.",
}


class Proxy(http.server.ThreadingHTTPServer):
    """Hands requests on to the engine, and throttles deletes and writes of records."""

    # More connections than a window of batches.
    request_queue_size = 128

    def __init__(self, engine_url):
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.engine = urllib.parse.urlsplit(engine_url).netloc
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        # How many were throttled.
        self.throttled = 0
        # The most ranges that a record was written with.
        self.most_ranges = 0
        self.let_through()

    def let_through(self, deletes=None, record_writes=None):
        """How many requests go through before the rest is throttled; None for all."""
        with self.lock:
            self.left = {"BatchWriteItem": deletes, "UpdateItem": record_writes}
            self.first = 0

    def throttle_first(self, deletes):
        """How many batches of deletes are throttled before the rest goes through."""
        with self.lock:
            self.first = deletes

    def lets_through(self, operation):
        with self.lock:
            left = self.left.get(operation)
            if operation == "BatchWriteItem" and self.first:
                self.first -= 1
                left = 0
            if left == 0:
                self.throttled += 1
                return False
            if left:
                self.left[operation] = left - 1
            return True

    def handle_error(self, request, client_address):
        # A client that was killed or did not wait for its answer.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class ProxyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.engine = http.client.HTTPConnection(self.server.engine)

    def finish(self):
        self.engine.close()
        super().finish()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        _, operation = self.headers["x-amz-target"].split(".")
        if operation == "UpdateItem":
            values = json.loads(body).get("ExpressionAttributeValues", {})
            ranges = len(values.get(":ranges", {}).get("L", []))
            self.server.most_ranges = max(self.server.most_ranges, ranges)
        if not self.server.lets_through(operation):
            self.answer(400, json.dumps(THROTTLED).encode())
            return
        self.engine.request("POST", "/", body, dict(self.headers))
        response = self.engine.getresponse()
        self.answer(response.status, response.read())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def proxy_before(engine_url):
    with Proxy(engine_url) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
