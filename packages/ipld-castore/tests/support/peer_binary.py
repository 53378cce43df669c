"""Servers that the tests talk to: their binaries, which are named, built before, or built now; and their start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

_BUILD = Path(__file__).parents[1] / "peers" / "build.py"


class NoBinaryError(Exception):
    """There is no binary; the message says how to get one."""


def find_binary(name: str, *, given_by: str, built_by: str) -> str:
    """Return the path of a binary that is named, was built already, or is built now.

    :param name: a folder of ``peers``
    :param given_by: the environment variable that names a binary
    :param built_by: the environment variable that is 1 if it is to be built
    :raises NoBinaryError: if there is none
    :raises RuntimeError: if it cannot be built
    """
    given = os.environ.get(given_by)
    if given:
        return given
    building = os.environ.get(built_by) == "1"
    command = [sys.executable, str(_BUILD), name, *([] if building else ["--find"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.returncode:
        return done.stdout.strip()
    if building:
        raise RuntimeError(f"{built_by}=1, but {done.stderr}")
    raise NoBinaryError(f"no {name}: {given_by} names its binary, {built_by}=1 builds one (Go, some minutes)")


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a server takes connections, at most 30 seconds; return False if it ended or does not."""
    for _ in range(600):
        if process.poll() is not None:
            return False
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False
