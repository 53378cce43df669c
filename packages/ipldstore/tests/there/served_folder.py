"""A folder on an HTTP server that answers ranges."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Ranges(SimpleHTTPRequestHandler):
    """Serves a folder with ranges."""

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def translate_path(self, path: str) -> str:
        """Return the path of the file; a query such as ``file=x.nc`` names it, as where downloads are scripts."""
        _, _, query = path.partition("?file=")
        return super().translate_path(f"/{query}" if query else path)

    def do_GET(self) -> None:
        try:
            data = Path(self.translate_path(self.path)).read_bytes()
        except OSError:  # also once the test has ended
            self.send_error(404)
            return
        start, stop = 0, len(data)
        given = self.headers.get("Range")
        if given is not None:
            first, _, last = given.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1 if last else stop, stop)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("ETag", f'"{hash(data)}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[start:stop])

    do_HEAD = do_GET  # noqa: N815  # its name in the base class


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder in a ``with`` statement; give the URL."""
    handler: Callable[..., Any] = partial(Ranges, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
