"""A person who follows a page word for word: a shell for its console fences, a Python for its sessions."""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from .fences import fences_of

_OPTIONS: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_OF_SHELLS: Final = ("PATH", "_", "SHLVL", "PWD", "OLDPWD")
"""Variables that each shell sets for itself."""
_SECONDS: Final = 500
"""Only ends what would hang."""


class Shell:
    """A shell in a folder. What is exported, and what runs in the background, stays until the end.

    :param environ: its environment
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self.environ = dict(environ)
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> str:
        """Run a command; return what it printed.

        A command that ends in ``&`` and has a ``--port`` listens when this returns.
        """
        variables, output = self._folder / ".variables", self._folder / ".output"
        script = f"{command}\nstatus=$?\nenv -0 > {variables.name}\nexit $status\n"
        with output.open("wb") as written:
            # A process group of its own, which ends with the page.
            process = subprocess.Popen(
                ["/usr/bin/env", "bash", "-c", script],
                cwd=self._folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        status = process.wait(_SECONDS)
        text = output.read_text("utf-8")
        assert status == 0, f"$ {command}\n{text}exit code {status}"
        listed = variables.read_text("utf-8").split("\0")
        self.environ = dict(each.split("=", 1) for each in listed if "=" in each)
        if command.rstrip().endswith("&"):
            port = re.search(r"--port[ =](\d+)", command)
            assert port, f"a command in the background needs a --port to wait for: {command}"
            _wait_for(int(port[1]))
        return text

    def stop(self) -> None:
        """End what still runs, such as what was started in the background."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(_SECONDS)


def _wait_for(port: int) -> None:
    until = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until, f"nothing listens on port {port}"
            time.sleep(0.05)
        else:
            return


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console fence, and what it should print; empty for anything."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = 1
        while count < len(lines) and (lines[count - 1].endswith("\\\n") or lines[count].startswith("> ")):
            count += 1
        command = "".join(line.removeprefix("> ") for line in lines[:count])
        yield command.rstrip("\n"), "".join(lines[count:])


def follow(path: Path, replaced: Mapping[str, str], environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Do all that a page says, in the folder that the process is in; return the number of steps.

    :param replaced: what stands for something of the reader's own, such as a bucket, and what it is here
    """
    variables = {**os.environ, **environ}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    variables["PYTHONUNBUFFERED"] = "1"
    shell = Shell(Path.cwd(), variables)
    names: dict[str, Any] = {"__name__": "__main__"}
    checker, parser, steps = doctest.OutputChecker(), doctest.DocTestParser(), 0
    try:
        for fence in fences_of(path):
            text = _replace_all(fence.text, replaced)
            if fence.not_run:
                continue
            if fence.language == "console":
                for command, expected in commands_of(text):
                    printed = shell.run(command)
                    matches = checker.check_output(expected, printed, _OPTIONS)
                    assert not expected or matches, f"{fence}\n$ {command}\nexpected\n{expected}found\n{printed}"
                    steps += 1
            elif fence.is_session:
                _export(shell, environ, monkeypatch)
                test = parser.get_doctest(text, names, str(fence), str(fence), fence.line - 1)
                runner = doctest.DocTestRunner(optionflags=_OPTIONS)
                report: list[str] = []
                runner.run(test, out=report.append, clear_globs=False)
                assert runner.failures == 0, "".join(report)
                names = test.globs
                steps += len(test.examples)
            elif fence.language == "python":
                raise AssertionError(f"{fence}: a fence of Python is a session, or a comment says why it is not run")
    finally:
        shell.stop()
    return steps


def _replace_all(text: str, replaced: Mapping[str, str]) -> str:
    for word, here in replaced.items():
        text = text.replace(word, here)
    return text


def _export(shell: Shell, environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Set in this process what the reader exported, who starts Python in that shell."""
    for name, value in shell.environ.items():
        if name in environ or (os.environ.get(name) != value and name not in _OF_SHELLS):
            monkeypatch.setenv(name, value)
