"""The binaries of servers that the tests talk to: named, built before, or built now."""

from __future__ import annotations

import os
import subprocess
import sys
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
