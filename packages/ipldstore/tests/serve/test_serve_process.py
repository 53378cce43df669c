"""The command `ipldstore serve` as a process: it says where it listens, and ends when it is told to."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ipldstore
import pytest
import requests

pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a.car"
    with ipldstore.open(found, "x") as store:
        store["a/0"] = b"chunk"
    return found


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = "import sys; from ipldstore._cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT"])
def test_it_serves_until_a_signal(path: Path, stop: str) -> None:
    with process(str(path), "--port", "0") as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        url = re.fullmatch(r"serving at (http://127\.0\.0\.1:\d+)\n", line)
        assert url, line
        with ipldstore.open(path) as store:
            root = store.root_cid
        assert requests.get(f"{url[1]}/ipfs/{root}/a/0", timeout=60).content == b"chunk"
        running.send_signal(getattr(signal, stop))
        assert running.wait(60) in (0, 128 + getattr(signal, stop), -getattr(signal, stop))
        assert "Traceback" not in (running.stderr.read() if running.stderr else "")


def test_a_port_that_is_taken_and_a_file_that_is_absent_say_so(path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        process(str(path), "--port", str(taken.getsockname()[1])) as running,
    ):
        _, error = running.communicate(timeout=60)
        assert running.returncode == 2
        assert "in use" in error
        assert "Traceback" not in error
    with process(str(path) + ".nothing.car") as running:
        _, error = running.communicate(timeout=60)
        assert running.returncode == 2
        assert ".nothing.car" in error
