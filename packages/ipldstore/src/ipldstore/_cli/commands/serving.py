"""The command that serves datasets over HTTP."""

from __future__ import annotations

from typing import Any, Final

import click

from ipldstore._cli.options import Opening, open_options


@click.command()
@click.argument("sources", metavar="WHAT...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen at this address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--allow-host", "hosts", multiple=True, help="A name under which browsers may reach the server.")
@click.option("--max-requests", type=click.IntRange(1), default=256, show_default=True, help="Answered at a time.")
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), default=600.0, show_default=True)
@click.option("--max-bytes", type=click.IntRange(1), default=64 << 30, help="Bytes of one CAR, at most.")
@open_options
def serve(
    sources: tuple[str, ...], host: str, port: int, hosts: tuple[str, ...], opening: Opening, **bounds: Any
) -> None:
    """Serve datasets as a trustless gateway, with pages for browsers.

    WHAT is a CAR file, with any number of roots, or anything else that `ipldstore.open` takes; or a file of an IPNS
    record, called NAME.ipns-record, which is served where it is signed by the key of its name. Only blocks that its
    roots reach are served. Nothing is written. Without --host only this machine can read. Options of opening are for
    each WHAT.
    """
    from contextlib import ExitStack

    from ipldstore._serve.limits import Limits
    from ipldstore._serve.run import run
    from ipldstore._serve.sources import open_source

    limits = Limits(bounds["max_requests"], bounds["max_seconds"], bounds["max_bytes"])
    with ExitStack() as stack:
        opened = []
        records = [each for each in sources if each.endswith(".ipns-record")]
        for each in sources:
            if each in records:
                continue
            source = open_source(each, opening.given)
            stack.callback(source.close)
            opened.append(source)
        run(
            opened,
            host=host,
            port=port,
            hosts=hosts,
            limits=limits,
            record_files=records,
            ready=lambda url: click.echo(f"serving at {url}"),
        )


SERVING: Final = (serve,)
