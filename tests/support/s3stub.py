"""An S3 endpoint that refuses everything in one way and remembers the requests' headers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Refusal:
    """The running endpoint."""

    endpoint: str
    headers: list[Mapping[str, str]] = field(default_factory=list)


@contextmanager
def refusing(status: int, code: str) -> Iterator[Refusal]:
    """Answer all requests with an HTTP status and an S3 error code such as `ExpiredToken`."""
    body = f"<Error><Code>{code}</Code><Message>Refused.</Message></Error>".encode()

    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            refusal.headers.append(dict(self.headers.items()))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = refuse

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        refusal = Refusal(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield refusal
        finally:
            server.shutdown()
            thread.join()
