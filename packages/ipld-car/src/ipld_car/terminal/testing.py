"""Run a command in processes that are forked from one which has imported it. For tests of the commands, on Linux.

Most tests of a command need a process of its own, with pipes for its streams, but not the time in which Python starts
and imports. As a program this module is that one process, and forks for each line of arguments.
"""

from __future__ import annotations

import array
import ast
import gc
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, Protocol

_REQUEST_BYTES: Final = 1 << 20


class Ran(NamedTuple):
    """What a command printed."""

    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        """Standard output by lines."""
        return self.text.splitlines()

    @property
    def json(self) -> list[dict[str, Any]]:
        """Standard output as a JSON object a line."""
        return [json.loads(line) for line in self.lines]


class Run(Protocol):
    """A command as a function."""

    def __call__(self, *arguments: object, stdin: bytes = b"", code: int = 0, cwd: Path | None = None) -> Ran:
        """Run the command, and check that its exit code is ``code`` and that it shows no traceback."""


@contextmanager
def running_command(module: str, name: str, package: str, preload: Sequence[str] = ()) -> Iterator[Run]:
    """Yield a command as a function that runs it in a process of its own.

    On Linux the processes are forked from one that has imported the command: starting Python for each took most of the
    time of the tests.

    :param module: see :class:`CLIServer`, also for ``name`` and ``preload``
    :param package: the package that ``python -m`` runs
    """
    server = CLIServer(module, name, preload) if sys.platform == "linux" else None

    def run(*arguments: object, stdin: bytes = b"", code: int = 0, cwd: Path | None = None) -> Ran:
        given = [*map(str, arguments)]
        if server is None:
            command = [sys.executable, "-m", package, *given]
            done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd)  # noqa: S603  # ours
            found, out, err = done.returncode, done.stdout, done.stderr
        else:
            found, out, err = server.run(given, stdin, cwd)
        if found != code or b"Traceback" in err:
            shown = out[-2000:], err.decode(errors="replace")[-2000:]
            raise AssertionError(f"expected the exit code {code} of {given}, found {found}: {shown}")
        return Ran(out, err.decode())

    try:
        yield run
    finally:
        if server is not None:
            server.close()


class CLIServer:
    """The process that forks, and what asks it to.

    :param module: the module whose ``main`` runs the command and returns its exit code
    :param name: the name of the program
    :param preload: modules that the command imports when it runs, imported once here
    """

    def __init__(self, module: str, name: str, preload: Sequence[str] = ()) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno()), module, name, *preload]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603  # this module

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        self._process.wait()

    def run(self, arguments: list[str], stdin: bytes, cwd: Path | None) -> tuple[int, bytes, bytes]:
        """Return the exit code of the command, and what it printed; a signal is a negative code."""
        request = json.dumps({"arguments": arguments, "cwd": str(cwd or Path.cwd()), "environ": dict(os.environ)})
        pipes = [os.pipe() for _ in range(3)]
        (their_in, our_in), (our_out, their_out), (our_err, their_err) = pipes
        theirs = [their_in, their_out, their_err]
        socket.send_fds(self._socket, [request.encode()], theirs)
        for each in theirs:
            os.close(each)
        with ThreadPoolExecutor(3) as pool:
            pool.submit(_write, our_in, stdin)
            printed = [pool.submit(_read, each) for each in (our_out, our_err)]
        answer = self._socket.recv(100)
        if not answer:
            raise RuntimeError("expected an exit code, found that the process that forks has ended")
        return int(answer), printed[0].result(), printed[1].result()


def _write(pipe: int, data: bytes) -> None:
    try:
        with os.fdopen(pipe, "wb") as stream:
            stream.write(data)
    except BrokenPipeError:  # it need not read all
        pass


def _read(pipe: int) -> bytes:
    with os.fdopen(pipe, "rb") as stream:
        return stream.read()


def _serve(connection: socket.socket, main: Callable[[], int], name: str) -> None:
    while True:
        request, ancillary, _, _ = connection.recvmsg(_REQUEST_BYTES, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        if not request:
            return
        streams = array.array("i", ancillary[0][2])
        child = os.fork()
        if not child:
            connection.close()
            _become(json.loads(request), list(streams), name)
            sys.exit(main())
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any], streams: list[int], name: str) -> None:
    """Take over the streams, arguments, folder and environment of a command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = [name, *request["arguments"]]
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environ"])


def terms_of(*packages: ModuleType) -> Iterator[str]:
    """Yield the names of the :class:`ipld_car.messages.Term` in the sources of packages, for which a command has words.

    :param packages: the modules, as they are imported
    """
    for package in packages:
        for path in Path(str(package.__file__)).parent.rglob("*.py"):
            source = path.read_text("utf-8")
            for node in ast.walk(ast.parse(source)) if "Term(" in source else ():
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Term":
                    yield ast.literal_eval(node.args[0])


if __name__ == "__main__":
    for _each in sys.argv[4:]:
        import_module(_each)
    _main = import_module(sys.argv[2]).main
    gc.collect()
    gc.freeze()  # else each process that ends goes over all that was imported
    with socket.socket(fileno=int(sys.argv[1])) as _ours:
        _serve(_ours, _main, sys.argv[3])
