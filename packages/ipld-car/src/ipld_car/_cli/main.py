"""The command ``ipld-car``: its verbs, and what its exit codes say."""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from ipld_car.errors import CarError, CarWarning

from .commands.indexing import INDEXING
from .commands.reading import READING
from .commands.unixfs import UNIXFS
from .commands.writing import WRITING
from .exit_codes import RefusedError

GOOD, BAD, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

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


class _SeenEnoughError(Exception):
    """Nobody reads what is printed any more."""


@contextmanager
def _seen_enough() -> Iterator[None]:
    """Keep a broken pipe from click, which would end with 1, as if the archive were bad."""
    try:
        yield
    except BrokenPipeError:
        raise _SeenEnoughError from None


class _Verbs(click.Group):
    """Verbs by their names, and by the short ones that go-car has; and its word for help."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        with _seen_enough():  # where help and version are printed
            return super().make_context(*arguments, **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in ("help", "h"):
            args = [*args[1:2], "--help"]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> object:
        with _seen_enough():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(None, "-v", "--version", package_name="ipld-car")
def cli() -> None:
    """Work with CAR archives: make, list, verify, unpack, cut and join them.

    FILE is a CAR, version 1 or 2; "-" is standard input, or output. A file that is written gets its name
    when it is whole, so a failure leaves what was there before; put-block alone adds to the file that is there.

    Exit codes: 0 all is good; 1 the archive is bad, or has not what was asked for; 2 wrong usage, or a
    file that cannot be read or written.
    """


for verb in (*UNIXFS, *READING, *INDEXING, *WRITING):
    cli.add_command(verb)


def main() -> int:
    """Run the command line; returns the exit code."""
    _fill_streams()
    _heed_signals()
    _tell_warnings()
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
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:
        _drop_output()  # all verbs flush what is good, so what is left could not be written
        return _failed(_told(error), USAGE)
    return code if isinstance(code, int) else GOOD


def _drop_output() -> None:
    """Forget what waits to be printed: Python would try once more in the end, and fail with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fill_streams() -> None:
    """Put something in place of standard streams that are closed.

    Standard input cannot be read then, nor standard output written: an error where a verb needs it, and only there.
    """
    for name, mode, flags in (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_RDWR)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _heed_signals() -> None:
    """End as after an error where a process is asked to end, so that what is half written is taken away."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, _stop)


def _tell_warnings() -> None:
    """Have what the library warns of in the words of a command, each time."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"warning: {message}", err=True)

    warnings.showwarning = show
    warnings.simplefilter("always", CarWarning)


def _stop(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _told(error: OSError) -> str:
    if error.errno == errno.EBADF:
        return "expected standard input or output, found it closed"
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason


def _failed(message: str, code: int) -> int:
    click.echo(f"ipld-car: {message}", err=True)
    return code
