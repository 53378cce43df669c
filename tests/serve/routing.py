"""A delegated router: https://specs.ipfs.tech/routing/http-routing-v1/. It names one server for every CID."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PEER = "12D3KooWCjfPiojcCUmv78Wd1NJzi4Mraj1moxigp7AfQVQvGLwH"
"""A name for the server, as each provider has one. Nobody speaks libp2p with it."""


@contextmanager
def routing_to(url: str) -> Iterator[str]:
    """Yield the URL of a router that says of every block that an HTTP server on this machine has it."""
    port = urlsplit(url).port
    addresses = [f"/ip4/127.0.0.1/tcp/{port}/http"]
    provider = {"Schema": "peer", "ID": PEER, "Addrs": addresses, "Protocols": ["transport-ipfs-gateway-http"]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"Providers": [provider]} if "/providers/" in self.path else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
