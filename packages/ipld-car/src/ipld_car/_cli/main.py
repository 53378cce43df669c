"""The command ``ipld-car``: its group of commands, and what its errors are."""

from __future__ import annotations

import click

from ipld_car.errors import CarError, CarWarning
from ipld_car.terminal import BAD, USAGE, CommandGroup, run

from .commands.indexing import INDEXING
from .commands.reading import READING
from .commands.unixfs import UNIXFS
from .commands.writing import WRITING
from .wording import WORDS

ALIASES = {
    "c": "create",
    "f": "filter",
    "gb": "get-block",
    "gd": "get-dag",
    "i": "index",
    "l": "list",
    "ls": "list",
    "pb": "put-block",
    "v": "verify",
    "x": "extract",
}


@click.group(
    cls=CommandGroup,
    aliases=ALIASES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(None, "-v", "--version", package_name="ipld-car")
def cli() -> None:
    """Work with CAR archives: make, list, verify, unpack, cut and join them.

    FILE is a CAR, version 1 or 2; "-" is standard input, or output. A file that is written gets its name
    when it is whole, so a failure leaves what was there before; only put-block adds to the file that is there.

    Exit codes: 0 all is good; 1 the archive is bad, or does not have what was asked for; 2 wrong usage, or a
    file that cannot be read or written.
    """


for command in (*UNIXFS, *READING, *INDEXING, *WRITING):
    cli.add_command(command)


def main() -> int:
    """Run the command line; returns the exit code."""
    return run(cli, "ipld-car", _code_of, warns=CarWarning, words=WORDS)


def _code_of(error: Exception) -> int | None:
    if not isinstance(error, CarError):
        return None
    from ipld_car.ops.errors import RefusedError

    return USAGE if isinstance(error, RefusedError) else BAD
