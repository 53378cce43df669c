"""What the tests of this package share: the fixtures of others, and a real IPFS node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

pytest.register_assert_rewrite("ipld_castore.testing")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for the helpers; importlib mode adds nothing itself


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "kubo: needs a real IPFS node, Kubo (IPLD_TEST_KUBO=ipfs or IPLD_BUILD_KUBO=1)")


@pytest.fixture(scope="session")
def archives() -> Path:
    """The folder of archives that other projects made; not part of this one."""
    folder = Path(os.environ.get("IPLD_FIXTURES") or HERE.parents[3] / "shared" / "fixtures")
    if not folder.is_dir():
        message = f"no archives of other projects at {folder} (IPLD_FIXTURES names another folder)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


class Node:
    """A Kubo node of its own repo, on loopback, which talks to nobody else."""

    CONFIG = {  # noqa: RUF012  # it is not changed
        "Routing.Type": "none",
        "Provide.Enabled": False,
        "Swarm.RelayClient.Enabled": False,
        "Swarm.EnableHolePunching": False,
        "HTTPRetrieval.Enabled": False,
        # Tests damage blocks behind its back: it must not remember which it had.
        "Datastore.BlockKeyCacheSize": 0,
    }

    def __init__(self, binary: str, repo: Path) -> None:
        self.binary = binary
        self.repo = repo
        self.environment = os.environ | {"IPFS_PATH": str(repo), "IPFS_TELEMETRY": "off"}
        self.daemon: subprocess.Popen[bytes] | None = None
        self.run("init", "--profile=test", "--empty-repo")
        for key, value in self.CONFIG.items():
            self.run("config", "--json", key, json.dumps(value))

    def run(self, *arguments: str, data: bytes | None = None) -> bytes:
        """What a command of the binary prints."""
        done = subprocess.run(
            [self.binary, *arguments], input=data, capture_output=True, env=self.environment, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def post(self, command: str, **options: str) -> Any:
        """The JSON that a command of the RPC answers."""
        answer = requests.post(f"{self.url}/api/v0/{command}", params=options, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def url(self) -> str:
        """The address of the RPC API, from the multiaddr that the node wrote."""
        _, _, host, _, port = (self.repo / "api").read_text().strip().split("/")
        return f"http://{host}:{port}"

    def start(self) -> None:
        (self.repo / "api").unlink(missing_ok=True)
        log = self.repo / "daemon.log"
        with log.open("wb") as output:
            self.daemon = subprocess.Popen(
                [self.binary, "daemon"], stdout=output, stderr=subprocess.STDOUT, env=self.environment
            )
        for _ in range(600):
            if b"Daemon is ready" in log.read_bytes():
                return
            assert self.daemon.poll() is None, log.read_text()
            time.sleep(0.05)
        pytest.fail(f"the node did not start: {log.read_text()}")

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(30)
            self.daemon = None


@pytest.fixture(scope="session")
def kubo_binary() -> str:
    given = os.environ.get("IPLD_TEST_KUBO")
    if given:
        return given
    # What is built already is used; building takes minutes, so it must be asked for.
    what = [] if os.environ.get("IPLD_BUILD_KUBO") == "1" else ["--find"]
    done = subprocess.run(
        [sys.executable, str(HERE / "peers" / "kubo" / "build.py"), *what], capture_output=True, text=True, check=False
    )
    if not done.returncode:
        return done.stdout.strip()
    if what:
        pytest.skip("no Kubo: IPLD_TEST_KUBO names an ipfs binary, IPLD_BUILD_KUBO=1 builds one (Go, some minutes)")
    pytest.fail(f"IPLD_BUILD_KUBO=1, but {done.stderr}")


@pytest.fixture(scope="session")
def kubo(kubo_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that runs, without any block."""
    node = Node(kubo_binary, tmp_path_factory.mktemp("kubo"))
    node.start()
    try:
        for cid in node.post("pin/ls")["Keys"]:
            node.post("pin/rm", arg=cid)
        for cid in node.run("refs", "local").decode().split():
            node.run("block", "rm", cid)
        yield node
    finally:
        node.stop()
