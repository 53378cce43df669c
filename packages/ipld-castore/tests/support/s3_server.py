"""A real S3 server, versitygw, for tests and benchmarks; moto where there is no binary; or another endpoint."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from . import peer_binary

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Store

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"  # noqa: S105  # of a server that stops with the tests
WRITERS = 32
"""How many act at once when a server is probed: what races show with it is worth no more than its conditional puts."""


def find_binary() -> str:
    """Return the binary of versitygw; see :func:`peer_binary.find_binary`."""
    return peer_binary.find_binary("versitygw", given_by="IPLD_TEST_VERSITYGW", built_by="IPLD_BUILD_S3")


class S3Server:
    """An S3 endpoint, with what a client needs to talk to it.

    :param endpoint: its URL, without credentials
    """

    is_atomic = True
    """Whether conditional puts have one winner."""
    checks_signatures = True
    """Whether a wrong secret is refused."""

    def __init__(self, endpoint: str, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> None:
        self.endpoint = endpoint
        self.access_key = access_key
        self.secret_key = secret_key
        self._buckets = 0

    def options(self, endpoint: str | None = None) -> dict[str, Any]:
        """Return the options of :meth:`ObjectCAStore.from_url`, and of ``storage_options``.

        :param endpoint: the URL of a proxy before the server
        """
        return {
            "endpoint": endpoint or self.endpoint,
            "allow_http": True,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "region": "us-east-1",
        }

    def new_bucket(self) -> str:
        """Make a bucket; return its name."""
        import requests

        self._buckets += 1
        name = f"test-{os.getpid()}-{self._buckets}-{os.urandom(4).hex()}"
        answer = requests.put(self.sign("PUT", name), timeout=30)
        if answer.status_code != 200:
            raise RuntimeError(f"cannot make the bucket {name}: {answer.status_code} {answer.text}")
        return name

    def sign(self, method: str, bucket: str, path: str = "") -> str:
        """Return a URL that may be asked without credentials for a while."""
        import obstore

        return str(obstore.sign(self.client(bucket), method, path, timedelta(minutes=5)))  # type: ignore[call-overload]  # one of many literals

    def client(self, bucket: str, endpoint: str | None = None, *, retries: int = 10, seconds: float = 30) -> S3Store:
        """Return a client of a bucket, which is not ours.

        :param endpoint: the URL of a proxy before the server
        :param retries: attempts after the first
        :param seconds: after which a request has failed
        """
        from obstore.store import S3Store

        options = self.options(endpoint)
        del options["allow_http"]
        client: ClientConfig = {"allow_http": True, "timeout": timedelta(seconds=seconds)}
        return S3Store(bucket, client_options=client, retry_config={"max_retries": retries}, **options)

    def stop(self) -> None:
        """Stop it."""


class Versitygw(S3Server):
    """A versitygw over a folder, on loopback.

    :param binary: its path
    :param folder: where its buckets are
    """

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self.folder = folder / "buckets"
        self.folder.mkdir()
        self._metadata = _metadata_options(folder)
        # In a folder beside the objects, an object and its ETag are not replaced together.
        self.is_atomic = not self._metadata
        self._log = folder / "versitygw.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        super().__init__(f"http://127.0.0.1:{self._port}")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [self._binary, "--access", self.access_key, "--secret", self.secret_key, "--quiet", "--keep-alive"]
        command += ["--port", f"127.0.0.1:{self._port}", "posix", *self._metadata, str(self.folder)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        if not peer_binary.listens(self._process, self._port):
            raise RuntimeError(f"versitygw did not start: {self._log.read_text()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # in good order it would wait for connections that clients keep
            self._process.wait(30)
            self._process = None


def _metadata_options(folder: Path) -> list[str]:
    """Return where versitygw keeps metadata: in extended attributes, if the file system has them."""
    try:
        os.setxattr(folder, "user.test", b"")
    except (AttributeError, OSError):
        sidecar = folder / "sidecar"
        sidecar.mkdir()
        return ["--sidecar", str(sidecar)]
    return []


class Moto(S3Server):
    """The S3 of moto, in threads of this process. Its conditions are not atomic, and it looks at no signature."""

    is_atomic = False
    checks_signatures = False

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        super().__init__(f"http://{host}:{port}")

    def stop(self) -> None:
        self._server.stop()


def start(folder: Path) -> S3Server:
    """Start what there is: IPLD_TEST_S3 (``http://key:secret@host:port``), else versitygw, else moto.

    :raises NoBinaryError: if there is none of them
    """
    named = os.environ.get("IPLD_TEST_S3")
    if named:
        parts = urlsplit(named)
        host = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        return S3Server(host, unquote(parts.username or ""), unquote(parts.password or ""))
    try:
        server = Versitygw(find_binary(), folder)
    except peer_binary.NoBinaryError as error:
        try:
            return Moto()
        except ImportError:
            raise error from None
    server.start()
    return server


def race(action: Callable[[int], object]) -> list[int]:
    """Let writers act at once; return the numbers of those whose condition held."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    start = Barrier(WRITERS)

    def act(number: int) -> bool:
        start.wait()
        try:
            action(number)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        return [number for number, won in enumerate(pool.map(act, range(WRITERS))) if won]


def check_one_winner(server: S3Server, bucket: str, path: str) -> None:
    """Let 32 make an object at once, and then replace it by its ETag; each time one must win, whose bytes are there."""
    stores = [server.client(bucket) for _ in range(WRITERS)]
    (winner,) = race(lambda number: stores[number].put(path, b"%d" % number, mode="create"))
    found = stores[0].get(path)
    assert bytes(found.bytes()) == b"%d" % winner
    etag = found.meta["e_tag"]
    (winner,) = race(lambda number: stores[number].put(path, b"second %d" % number, mode={"e_tag": etag}))
    assert bytes(stores[0].get(path).bytes()) == b"second %d" % winner
