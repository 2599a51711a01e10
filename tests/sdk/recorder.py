"""Stands between the SDK and the sandbox and writes down what the SDK sends."""

import json
import re
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What says something about the client; host, port and token are left out.
HEADERS = ("accept", "content-type", "user-agent")

# Numbers that differ from one sandbox to the next.
NAMES = ((r"/organizations/\d+", "/organizations/{org}"), (r"/run/\d+", "/run/{run}"), (r"/users/\d+", "/users/{user}"))


class Recorder:
    """A context that gives the address to talk to: the sandbox's own, or that of a recording proxy."""

    def __init__(self, address: str, file: str | None):
        self.address, self.file, self.requests = address.rstrip("/"), file, []

    def __enter__(self) -> str:
        if self.file is None:
            return self.address
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                recorder.note(self, body)
                connection = HTTPConnection(urlsplit(recorder.address).netloc)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.getheader("content-type", ""))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = forward

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def note(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        token = request.headers.get("authorization", "")
        path = request.path
        for number, name in NAMES:
            path = re.sub(number, name, path)
        self.requests.append(
            {
                "method": request.command,
                "path": path,
                "headers": {name: request.headers[name] for name in HEADERS if name in request.headers},
                "authorization": token.split(" ")[0] + " …" if token else None,
                "body": json.loads(body) if body else None,
            }
        )

    def __exit__(self, kind, *_) -> None:
        if self.file is None:
            return
        self.server.shutdown()
        if kind is None:
            distinct = {(one["method"], one["path"]): one for one in reversed(self.requests)}
            with open(self.file, "w", encoding="utf-8") as file:
                json.dump(list(reversed(distinct.values())), file, indent=2, ensure_ascii=False)
                file.write("\n")
