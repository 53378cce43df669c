"""Run the server until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from .limits import Limits
from .sources import Source

if TYPE_CHECKING:
    import asyncio

    import uvicorn

    from .guard import Guard


def run(
    sources: Sequence[Source],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    hosts: Iterable[str] = (),
    limits: Limits | None = None,
    record_files: Iterable[str] = (),
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until a signal stops it, which lets the answers on their way end.

    :param host: the address to listen at; anything but the loopback lets other machines read what is served
    :param port: 0 takes a free one
    :param hosts: as of :func:`ipldstore._serve.app.make_app`
    :param record_files: files of IPNS records, called after their names
    :param ready: called with the URL once the server listens
    :raises OSError: if the address is taken
    :raises ModuleNotFoundError: if the extra ``serve`` is not installed; the message says how
    """
    try:
        import uvicorn

        from .app import make_app
        from .connections import Connections
        from .names import read_records
    except ModuleNotFoundError as error:
        message = f'serving needs {error.name}: pip install "ipldstore[serve]"'
        raise ModuleNotFoundError(message, name=error.name) from error
    limits = limits or Limits()
    connections = Connections(limits)
    records = read_records(record_files)
    app = make_app(sources, limits=limits, hosts=[*hosts, host], records=records, connections=connections)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=256) as listening:
        name = f"[{host}]" if ":" in host else host
        ready(f"http://{name}:{listening.getsockname()[1]}")
        uvicorn.Server(_config(app, connections.protocol())).run(sockets=[listening])


def _config(app: Guard, protocol: type[asyncio.Protocol]) -> uvicorn.Config:
    """Return how uvicorn is to serve an application.

    :param protocol: what speaks HTTP/1.1 on each connection
    """
    import uvicorn

    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        http=protocol,
        ws="none",
        timeout_keep_alive=20,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 << 10,
        lifespan="off",
    )
