"""Arguments and options that several commands have."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final

import click

from ipld_car import cids, unixfs
from ipld_car.errors import CarError

if TYPE_CHECKING:
    from ipld_car._graph.selector import Selector

_UNITS: Final[dict[str, int]] = {"": 1} | {
    f"{letter}{ending}": base**power
    for base, ending in ((1000, ""), (1024, "i"))
    for power, letter in enumerate("kmgt", 1)
}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
STANDARD: Final = "-"


def source_of(path: str) -> str | IO[bytes]:
    """Return what a command reads: a path, or standard input for ``-``."""
    return sys.stdin.buffer if path == STANDARD else path


def target_of(path: str) -> str | IO[bytes]:
    """Return what a command writes: a path, or standard output for ``-``."""
    return sys.stdout.buffer if path == STANDARD else path


def cid_value(ctx: click.Context, param: click.Parameter, value: str | None) -> bytes | None:
    """Read a CID; return its bytes."""
    try:
        return None if value is None else cids.to_bytes(value)
    except CarError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def selector_value(ctx: click.Context, param: click.Parameter, value: str | None) -> Selector | None:
    """Read a selector."""
    from ipld_car._graph.selector_json import parse

    try:
        return None if value is None else parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def size_value(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Read a number of bytes, with a unit or not."""
    found = re.fullmatch(r"(\d+) ?([kmgt]i?|)b?", value.strip().lower())
    if not found or not int(found[1]):
        raise click.BadParameter(f"expected bytes such as 500000, 100MB or 2GiB, found {value!r}", ctx, param)
    return int(found[1]) * _UNITS[found[2]]


def chunker_value(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Read the bytes of a leaf: ``size-N``, as Kubo writes it."""
    kind, _, number = value.partition("-")
    if kind != "size" or not number.isdecimal() or not 0 < int(number) <= unixfs.CHUNK_SIZE:
        raise click.BadParameter(f"expected size-1 to size-{unixfs.CHUNK_SIZE}, found {value!r}", ctx, param)
    return int(number)


def read_once(*paths: str) -> None:
    """Refuse to read standard input twice."""
    if paths.count(STANDARD) > 1:
        raise click.UsageError("standard input can be read once, found more than one input that is -")


archive_argument = click.argument("file", default="-")
output_argument = click.argument("output", default="-")
json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
max_entries_option = click.option(
    "--max-entries",
    type=click.IntRange(min=1),
    default=1_000_000,
    show_default=True,
    help="Refuse more files, folders and links.",
)
partial_option = click.option("--partial", is_flag=True, help="Blocks that are linked may be missing.")


def version_option(default: int) -> Decorator:
    """Return ``--version``, with the default that go-car has for the command."""
    return click.option(
        "--version", type=click.IntRange(1, 2), default=default, show_default=True, help="Write a CARv1 or a CARv2."
    )


def zero_option(*, default: bool = False) -> Decorator:
    """Return the option for archives that are padded with zeros."""
    return click.option(
        "--zero-length-section-as-eof/--no-zero-length-section-as-eof",
        "zero_is_end",
        default=default,
        show_default=True,
        help="Take a section of length zero for the end: the archive is padded with zeros.",
    )
