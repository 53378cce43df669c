"""How a command begins and ends: standard streams, signals, warnings, and what an error is as an exit code."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from ipld_car.messages import Message, message_in_words

from .exit_codes import BROKEN_PIPE, GOOD, INTERRUPTED, USAGE
from .printer import printable


class _OutputClosedError(Exception):
    """The reader of the output has closed it."""


@contextmanager
def _keep_broken_pipe() -> Iterator[None]:
    """Keep a broken pipe from click, which would exit with 1, the code of a bad archive."""
    try:
        yield
    except BrokenPipeError:
        raise _OutputClosedError from None


class CommandGroup(click.Group):
    """Commands in the order in which they were added, and ``help`` as a word.

    :param aliases: short names of commands
    """

    def __init__(self, *arguments: Any, aliases: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._aliases = aliases or {}

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """Make the context; help and version are printed here."""
        with _keep_broken_pipe():
            return super().make_context(*arguments, **more)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take ``help COMMAND`` for ``COMMAND --help``."""
        if args and args[0] in ("help", "h"):
            args = [*args[1:2], "--help"]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a name or of a short name."""
        return super().get_command(ctx, self._aliases.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with _keep_broken_pipe():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order in which they were added."""
        return list(self.commands)


def run(
    group: click.Group,
    name: str,
    code_of: Callable[[Exception], int | None],
    *,
    warns: type[Warning],
    words: Mapping[str, str],
) -> int:
    """Run the command line of this process; return the exit code.

    :param group: the commands
    :param name: the name of the program
    :param code_of: returns the exit code of an error whose message is for the user, and None for any other error, which
        then passes through
    :param warns: warnings that are printed each time
    :param words: what the command says for a :class:`ipld_car.messages.Term` in a message, by its name
    """
    try:
        return _run(group, name, code_of, warns, words)
    finally:
        gc.freeze()  # the process ends; to search all modules for cycles would take a third of a short command


def _run(
    group: click.Group,
    name: str,
    code_of: Callable[[Exception], int | None],
    warns: type[Warning],
    words: Mapping[str, str],
) -> int:
    _fill_streams()
    _handle_signals()
    _print_warnings(warns, words)
    try:
        code = group.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (_OutputClosedError, BrokenPipeError):
        _drop_output()
        return BROKEN_PIPE
    except Exception as error:
        found = code_of(error)
        if found is not None:
            return _failed(name, message_in_words(error, words), found)
        if isinstance(error, OSError):
            _drop_output()  # all commands flush what is good, so what is left could not be written
            return _failed(name, _reason(error, words), USAGE)
        raise
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


def _print_warnings(kind: type[Warning], words: Mapping[str, str]) -> None:
    """Print what the library warns of, each time, as a command does."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = message if isinstance(message, str) else message_in_words(message, words)
        click.echo(f"warning: {text}", err=True)

    warnings.showwarning = show
    warnings.simplefilter("always", kind)


def _stop(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _reason(error: OSError, words: Mapping[str, str]) -> str:
    if error.errno == errno.EBADF:
        return "expected standard input or output, found it closed"
    reason = Message(error.strerror or str(error)).in_words(words)
    return f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason


def _failed(name: str, message: str, code: int) -> int:
    click.echo("\n".join(map(printable, f"{name}: {message}".split("\n"))), err=True)
    return code
