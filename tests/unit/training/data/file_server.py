"""A web server on this machine, with the files that a test gives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def publishing(files: Mapping[str, bytes]) -> Iterator[str]:
    """Serve files by their names; yield the address, which ends with a slash.

    Of a name that ends with ``.short``, only the first half is sent, whatever its length says; one
    that begins with ``moved-`` has moved to the rest of its name.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path[1:]
            if name.startswith("moved-"):
                self.send_response(302)
                self.send_header("Location", "/" + name.removeprefix("moved-"))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if name not in files:
                self.send_error(404)
                return
            content = files[name]
            assert self.headers["Accept-Encoding"] == "identity"
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if name.endswith(".short") else content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
