"""A stand-in for the HTTP API in front of the api function: it has the stack's routes, makes an
event of payload format 2.0 of each request, and decodes the path once, as the gateway does."""

import contextlib
import http.server
import json
import re
import threading
import time
import urllib.parse
import uuid

from emulated import invoke


def route_of(routes, method, path):
    """The key of the route that a path as it was sent matches, and its parameters."""
    for template, methods in routes.items():
        names = re.findall("{([^}]+)}", template)
        found = re.fullmatch(re.sub("{[^}]+}", "([^/]+)", template), path)
        if found and method.lower() in methods:
            parameters = map(urllib.parse.unquote, found.groups())
            return f"{method} {template}", dict(zip(names, parameters))
    return "$default", {}


def event_of(routes, request, body):
    path, _, query = request.path.partition("?")
    key, parameters = route_of(routes, request.command, path)
    decoded = urllib.parse.unquote(path)
    caller = {"method": request.command, "path": decoded, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1"}
    event = {
        "version": "2.0",
        "routeKey": key,
        "rawPath": decoded,
        "rawQueryString": query,
        "headers": {name.lower(): ",".join(request.headers.get_all(name)) for name in request.headers},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "rehearsal",
            "domainName": "127.0.0.1",
            "domainPrefix": "rehearsal",
            "http": {**caller, "userAgent": request.headers.get("user-agent", "")},
            "requestId": str(uuid.uuid4()),
            "routeKey": key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()),
            "timeEpoch": int(time.time() * 1000),
        },
        "isBase64Encoded": False,
    }
    if parameters:
        event["pathParameters"] = parameters
    if query:
        several = urllib.parse.parse_qs(query, keep_blank_values=True)
        event["queryStringParameters"] = {name: ",".join(values) for name, values in several.items()}
    if body:
        event["body"] = body
    return event


@contextlib.contextmanager
def gateway(routes, function_url):
    """The URL of a gateway with these routes, over a function that the emulator runs."""
    # The emulator runs one invocation at a time.
    turn = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            with turn:
                answer = invoke(function_url, event_of(routes, self, body))
            content = answer["body"].encode()
            self.send_response(answer["statusCode"])
            for name, value in {**answer["headers"], "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_DELETE = do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
