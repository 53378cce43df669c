"""A real IPFS node, Kubo, for tests and benchmarks: a binary, and nodes on loopback without other peers."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from . import peer_binary


def find_binary() -> str:
    """Return the binary of Kubo; see :func:`peer_binary.find_binary`."""
    return peer_binary.find_binary("kubo", given_by="IPLD_TEST_KUBO", built_by="IPLD_BUILD_KUBO")


class Node:
    """A Kubo node of its own repo, on loopback, without other peers."""

    CONFIG: Final[Mapping[str, Mapping[str, object]]] = {
        "Routing": {"Type": "none"},
        "Provide": {"Enabled": False},
        "Swarm": {"RelayClient": {"Enabled": False}, "EnableHolePunching": False},
        "HTTPRetrieval": {"Enabled": False},
        # Tests damage blocks behind its back: it must not remember which it had.
        "Datastore": {"BlockKeyCacheSize": 0},
    }

    def __init__(self, binary: str, repo: Path) -> None:
        self.binary = binary
        self.repo = repo
        self.environment = os.environ | {"IPFS_PATH": str(repo), "IPFS_TELEMETRY": "off"}
        self.daemon: subprocess.Popen[bytes] | None = None
        self.run("init", "--profile=test", "--empty-repo")
        file = repo / "config"  # written at once: `ipfs config` is a process for each value
        config = json.loads(file.read_text())
        for section, values in self.CONFIG.items():
            config[section] = {**(config.get(section) or {}), **values}
        file.write_text(json.dumps(config))

    def run(self, *arguments: str, data: bytes | None = None) -> bytes:
        """What a command of the binary prints."""
        done = subprocess.run(
            [self.binary, *arguments], input=data, capture_output=True, env=self.environment, timeout=600, check=False
        )
        if done.returncode:
            raise RuntimeError(f"ipfs {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout

    def post(self, command: str, **options: str) -> Any:
        """The JSON that a command of the RPC answers."""
        import requests

        answer = requests.post(f"{self.url}/api/v0/{command}", params=options, timeout=30)
        if answer.status_code != 200:
            raise RuntimeError(f"{command}: {answer.text}")
        return answer.json()

    @property
    def url(self) -> str:
        """The address of the RPC API, from the multiaddr that the node wrote."""
        _, _, host, _, port = (self.repo / "api").read_text().strip().split("/")
        return f"http://{host}:{port}"

    def start(self, *options: str) -> None:
        (self.repo / "api").unlink(missing_ok=True)
        log = self.repo / "daemon.log"
        with log.open("wb") as output:
            self.daemon = subprocess.Popen(
                [self.binary, "daemon", *options], stdout=output, stderr=subprocess.STDOUT, env=self.environment
            )
        for _ in range(600):
            if b"Daemon is ready" in log.read_bytes():
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the node did not start: {log.read_text()}")

    def empty(self) -> None:
        """Remove all pins and blocks."""
        for cid in self.post("pin/ls", type="recursive").get("Keys", {}):
            self.post("pin/rm", arg=cid)
        self.run("repo", "gc", "--quiet")
        left = self.run("refs", "local").decode().split()  # the empty folder that a node begins with
        if left:
            self.run("block", "rm", *left)

    def connect(self, other: Node) -> None:
        """Make it a peer of another one."""
        address = next(text for text in other.post("id")["Addresses"] if "/127.0.0.1/tcp/" in text)
        self.run("swarm", "connect", address)

    def kill(self) -> None:
        """End it without a word."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait(30)
            self.daemon = None

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(30)
            self.daemon = None
