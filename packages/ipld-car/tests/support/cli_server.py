"""Run the command ``ipld-car`` in processes that are forked from one which has imported it.

Most tests of the command need a process of its own, with pipes for its streams, but not the quarter of a second in
which Python starts and imports. As a program this module is that one process, and forks for each line of arguments.
"""

from __future__ import annotations

import array
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_REQUEST_BYTES = 1 << 20


class CLIServer:
    """The process that forks, and what asks it to."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(Path(__file__)), str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])

    def close(self) -> None:
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
        assert answer, "the process that forks has ended"
        return int(answer), printed[0].result(), printed[1].result()


def _write(pipe: int, data: bytes) -> None:
    try:
        with open(pipe, "wb") as stream:
            stream.write(data)
    except BrokenPipeError:  # it need not read all
        pass


def _read(pipe: int) -> bytes:
    with open(pipe, "rb") as stream:
        return stream.read()


def _serve(connection: socket.socket, main: Callable[[], int]) -> None:
    while True:
        request, ancillary, _, _ = connection.recvmsg(_REQUEST_BYTES, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        if not request:
            return
        streams = array.array("i", ancillary[0][2])
        child = os.fork()
        if not child:
            connection.close()
            _become(json.loads(request), list(streams))
            sys.exit(main())
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, object], streams: list[int]) -> None:
    """Take over the streams, arguments, folder and environment of a command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.argv = ["ipld-car", *request["arguments"]]  # type: ignore[misc]  # as it was sent
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environ"])  # type: ignore[call-overload]  # as it was sent


if __name__ == "__main__":
    from ipld_car._cli.main import main

    with socket.socket(fileno=int(sys.argv[1])) as ours:
        _serve(ours, main)
