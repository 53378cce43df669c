"""A server of ours on a free port, for tests that speak HTTP with it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import requests
from ipldstore._serve.limits import Limits
from ipldstore._serve.sources import Source, open_source


@dataclass
class Served:
    """A running server, and a connection to it."""

    url: str
    http: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **more: object) -> requests.Response:
        """Send a GET request for a path."""
        return self.http.get(self.url + path, timeout=60, **more)  # type: ignore[arg-type]  # passed on as given


@contextmanager
def serving(
    what: Iterable[object],
    *,
    limits: Limits | None = None,
    hosts: Iterable[str] = (),
    records: Iterable[object] = (),
    head_seconds: float = 30.0,
) -> Iterator[Served]:
    """Serve files or sources until the block ends.

    :param what: paths, or sources that are open
    :param records: paths of IPNS records
    :param head_seconds: how long a connection may be open without a request
    """
    uvicorn = pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    pytest.importorskip("starlette", reason="the extra serve is not installed")
    from ipldstore._serve.app import make_app
    from ipldstore._serve.connections import Connections
    from ipldstore._serve.names import read_records

    connections = Connections(limits or Limits(), head_seconds)
    sources = [each if isinstance(each, Source) else open_source(str(each)) for each in what]
    config = uvicorn.Config(
        make_app(sources, limits=limits, hosts=hosts, records=read_records(map(str, records)), connections=connections),
        http=connections.protocol(),
        ws="none",
        log_level="critical",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    served = Served(f"http://127.0.0.1:{listening.getsockname()[1]}")
    try:
        yield served
    finally:
        served.http.close()
        server.should_exit = True
        thread.join()
        listening.close()
        for source in sources:
            source.close()
