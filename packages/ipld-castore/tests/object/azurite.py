"""A real server of Azure Blob Storage, Azurite, installed by npm in the versions of ``peers/azurite``."""

from __future__ import annotations

import base64
import hmac
import os
import socket
import subprocess
from email.utils import formatdate
from pathlib import Path
from typing import Any

from ..peers.npm_install import npm_install
from ..support.peer_binary import listens

PINNED = Path(__file__).parents[1] / "peers" / "azurite"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key of Azurite's account, which all the world knows."""


def install() -> Path:
    """Return the program, which npm installs into the user's cache folder unless it is there.

    :raises NoBinaryError: if there is no node or no npm
    :raises RuntimeError: if npm cannot install it
    """
    return npm_install(PINNED, "azurite") / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


class Azurite:
    """An Azurite on loopback, whose blobs are in its memory.

    :param program: see :func:`install`
    :param folder: for its log
    """

    def __init__(self, program: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self._port}/{ACCOUNT}"
        self._containers = 0
        log = folder / "azurite.log"
        command = ["node", str(program), "--blobPort", str(self._port), "--silent", "--disableTelemetry"]
        command += ["--inMemoryPersistence", "--skipApiVersionCheck"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        if not listens(self._process, self._port):
            raise RuntimeError(f"Azurite did not start: {log.read_text()}")

    def options(self) -> dict[str, Any]:
        """Return the options of :meth:`ObjectCAStore.from_url`."""
        return {"account_name": ACCOUNT, "account_key": KEY, "endpoint": self.endpoint, "allow_http": True}

    def new_container(self) -> str:
        """Make a container; return its URL."""
        import requests

        self._containers += 1
        name = f"test-{self._containers}-{os.urandom(4).hex()}"
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        signed = "".join(f"{key}:{value}\n" for key, value in headers.items())
        text = "PUT" + "\n" * 12 + f"{signed}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
        url = f"{self.endpoint}/{name}?restype=container"
        answer = requests.put(url, headers=headers, timeout=30)
        if answer.status_code != 201:
            raise RuntimeError(f"cannot make the container {name}: {answer.status_code} {answer.text}")
        return f"az://{name}"

    def stop(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait(30)
