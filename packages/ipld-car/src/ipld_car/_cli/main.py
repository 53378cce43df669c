"""The command ``ipld-car``: its verbs, and what its exit codes say."""

from __future__ import annotations

import os
import sys

import click

from ipld_car._errors import CarError

from .commands_index import INDEXING
from .commands_read import READING
from .commands_unixfs import UNIXFS
from .commands_write import WRITING
from .outcome import RefusedError

GOOD, BAD, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

ALIASES = {
    "c": "create",
    "f": "filter",
    "gb": "get-block",
    "gd": "get-dag",
    "i": "index",
    "l": "list",
    "ls": "list",
    "v": "verify",
    "x": "extract",
}


class _SeenEnoughError(Exception):
    """Nobody reads what is printed any more."""


class _Verbs(click.Group):
    """Verbs by their names, and by the short ones that go-car has."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # which click would end with 1, as if the archive were bad
            raise _SeenEnoughError from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ipld-car")
def cli() -> None:
    """Work with CAR archives: make, list, verify, unpack, cut and join them.

    FILE is a CAR, version 1 or 2; "-" is standard input, or output. A file that is written gets its name
    when it is whole, so a failure leaves what was there before.

    Exit codes: 0 all is good; 1 the archive is bad, or has not what was asked for; 2 wrong usage, or a
    file that cannot be read or written.
    """


for verb in (*UNIXFS, *READING, *INDEXING, *WRITING):
    cli.add_command(verb)


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        code = cli.main(prog_name="ipld-car", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except CarError as error:
        return _failed(str(error), BAD)
    except RefusedError as error:
        return _failed(str(error), USAGE)
    except (_SeenEnoughError, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        return _failed(_told(error), USAGE)
    return code if isinstance(code, int) else GOOD


def _told(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason


def _failed(message: str, code: int) -> int:
    click.echo(f"ipld-car: {message}", err=True)
    return code
