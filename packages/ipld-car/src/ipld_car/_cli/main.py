"""The command ``ipld-car``: its group of commands, and how it ends."""

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
from .exit_codes import BAD, BROKEN_PIPE, GOOD, INTERRUPTED, USAGE

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


class _OutputClosedError(Exception):
    """The reader of the output has closed it."""


@contextmanager
def _keep_broken_pipe() -> Iterator[None]:
    """Keep a broken pipe from click, which would exit with 1, as if the archive were bad."""
    try:
        yield
    except BrokenPipeError:
        raise _OutputClosedError from None


class _Commands(click.Group):
    """Commands by their names and by go-car's short ones, and ``help`` as a word."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        with _keep_broken_pipe():  # where help and version are printed
            return super().make_context(*arguments, **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in ("help", "h"):
            args = [*args[1:2], "--help"]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, ALIASES.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> object:
        with _keep_broken_pipe():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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
    _fill_streams()
    _handle_signals()
    _print_warnings()
    try:
        code = cli.main(prog_name="ipld-car", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except CarError as error:
        from ipld_car.ops.errors import RefusedError

        return _failed(str(error), USAGE if isinstance(error, RefusedError) else BAD)
    except (_OutputClosedError, BrokenPipeError):
        _drop_output()
        return BROKEN_PIPE
    except OSError as error:
        _drop_output()  # all commands flush what is good, so what is left could not be written
        return _failed(_reason(error), USAGE)
    return code if isinstance(code, int) else GOOD


def _drop_output() -> None:
    """Drop what is still buffered: Python would try to write it once more at exit, and fail with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fill_streams() -> None:
    """Replace standard streams that are closed by ones that cannot be read or written.

    So using one is an error, and only for a command that needs it.
    """
    for name, mode, flags in (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_RDWR)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def _handle_signals() -> None:
    """End as after an error when the process is asked to end, so that what is half written is removed."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, _stop)


def _print_warnings() -> None:
    """Print what the library warns of, each time, as a command does."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        click.echo(f"warning: {message}", err=True)

    warnings.showwarning = show
    warnings.simplefilter("always", CarWarning)


def _stop(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _reason(error: OSError) -> str:
    if error.errno == errno.EBADF:
        return "expected standard input or output, found it closed"
    reason = error.strerror or str(error)
    return f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason


def _failed(message: str, code: int) -> int:
    click.echo(f"ipld-car: {message}", err=True)
    return code
