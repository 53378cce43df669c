"""The command `ipldstore serve` as a process: it says where it listens, and ends when it is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import ipldstore
import pytest
import requests
from ipld_car.terminal.testing import Run

from ..support.processes import program, running

pytest.importorskip("uvicorn", reason="the extra serve is not installed")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "a.car"
    with ipldstore.open(found, "x") as store:
        store["a/0"] = b"chunk"
    return found


SERVE = "import sys; from ipldstore._cli.main import main; sys.exit(main())"


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT"])
def test_it_serves_until_a_signal(path: Path, stop: str) -> None:
    with running(program.run, SERVE, "serve", str(path), "--port", "0") as server:
        line = server.out.readline()
        url = re.fullmatch(r"serving at (http://127\.0\.0\.1:\d+)\n", line)
        assert url, line
        with ipldstore.open(path) as store:
            root = store.root_cid
        assert requests.get(f"{url[1]}/ipfs/{root}/a/0", timeout=60).content == b"chunk"
        os.kill(server.process.pid, getattr(signal, stop))
        server.process.join(60)
        assert server.process.exitcode in (0, 128 + getattr(signal, stop), -getattr(signal, stop))
        assert "Traceback" not in server.err.read()


def test_a_port_that_is_taken_and_a_file_that_is_absent_say_so(path: Path, command: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in command("serve", path, "--port", taken.getsockname()[1], code=2).err
    assert ".nothing.car" in command("serve", f"{path}.nothing.car", code=2).err
