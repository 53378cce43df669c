"""Blocks from gateways that nobody trusts: https://specs.ipfs.tech/http-gateways/trustless-gateway/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

from ipld_car import cids
from multiformats import CID

from ipld_castore._core.backend import AnyCID
from ipld_castore._core.hash_policy import check_hash, identity_bytes
from ipld_castore._core.path import resolve_path
from ipld_castore._core.store import MAX_NODE_BYTES, ContentAddressableStore
from ipld_castore._http.client import Answer, Connections
from ipld_castore._http.retry_after import seconds_of
from ipld_castore.concurrency import in_order
from ipld_castore.errors import BlockNotFoundError, HashRefusedError, ReadOnlyStoreError

from .car_download import CarStream, Walk, check_bytes
from .endpoints import Gateway, find_gateways
from .retry import Attempts, Failure, Why

_RAW: Final = "application/vnd.ipld.raw"
_CAR: Final = "application/vnd.ipld.car"
_CAR_WANTED: Final = f"{_CAR};version=1;order=dfs;dups=n"

_ABSENT: Final = frozenset({404, 410, 451})
_BUSY: Final = frozenset({429, 502, 503})
_NO_CARS: Final = frozenset({400, 406, 415, 501})
"""What a gateway answers that only sends blocks; then blocks it is asked for."""

_NOT_FOUND: Final = (b"ipld: could not find", b"block not found")
_MAX_MESSAGE_BYTES: Final = 1024

_IN_FLIGHT: Final = 32
_MAX_PATH_CHARS: Final = 4096


class GatewayCAStore(ContentAddressableStore):
    """Blocks from trustless HTTP gateways, read-only. No byte is believed before it is hashed.

    Of several gateways those are asked first that did nothing wrong lately, in the order given. A gateway that sends
    wrong bytes is not asked for that block again; one that is busy gets the pause that it asks for, at most 60
    seconds. Redirects are not followed, and no public gateway is asked unless it is named.

    Threads: all methods may be called from many threads at once; their requests are in flight together.
    Two stores are equal if they ask the same gateways in the same order.

    :param urls: the URL of a gateway, or several; with ``user:password@`` where it asks for that. By default
        ``$IPFS_GATEWAY``, else what the file ``gateway`` says in ``$IPFS_PATH``, ``~/.ipfs``, ``~/.config/ipfs`` or
        ``/etc/ipfs``; a running Kubo writes the first two
    :param timeout: seconds that a gateway may be silent
    :param retries: how often a gateway is asked again if it is busy, or breaks the connection
    :param token: a bearer token for the gateway, of which there must be one
    :param hash: see :class:`ContentAddressableStore`; what is read may have any trusted hash
    :raises ValueError: if there is no gateway, one is no URL, or a number makes no sense

    >>> GatewayCAStore("http://127.0.0.1:8080/")
    <GatewayCAStore: http://127.0.0.1:8080>
    """

    local = False

    def __init__(
        self,
        urls: str | Iterable[str] | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        token: str | None = None,
        hash: str = "sha2-256",  # noqa: A002  # as the base class has it
    ) -> None:
        super().__init__(hash=hash)
        if not timeout > 0:
            raise ValueError(f"expected a timeout of more than 0 seconds, found {timeout}")
        if retries < 0:
            raise ValueError(f"expected a number of retries from 0 on, found {retries}")
        self._timeout = timeout
        self._retries = retries
        self._attempts = Attempts(find_gateways(urls, token), retries)
        self._connections = Connections(timeout)

    @property
    def urls(self) -> list[str]:
        """The URLs of the gateways, without credentials."""
        return [gateway.url for gateway in self._attempts.gateways]

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return " ".join(self.urls)

    # -- verbs --

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`; the bytes are verified here too, to ask another gateway.

        :raises BlockCorruptError: if a gateway gave other bytes, and no other has the block
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        return self._get_binary(cids.to_bytes(cid))

    def _get_binary(self, binary: bytes) -> bytes:
        inline = identity_bytes(binary)
        if inline is not None:
            return inline
        check_hash(binary)
        return self._attempts.ask(binary, lambda gateway: self._fetch_block(gateway, binary))

    @property
    def writable(self) -> bool:
        """False: gateways are for reading."""
        return False

    def put_block(self, cid: CID, data: bytes) -> None:
        """Refuse: gateways are for reading.

        :raises ReadOnlyStoreError: always
        """
        raise ReadOnlyStoreError(
            f"cannot put block {cid}: gateways only give blocks; write to another store, for example an IPFSStore"
        )

    def has_block(self, cid: CID) -> bool:
        """Whether a gateway says that it has, or finds, a block for ``cid``; no byte of it is read."""
        binary = cids.to_bytes(cid)
        if identity_bytes(binary) is not None:
            return True

        def ask(gateway: Gateway) -> bool:
            with self._open(gateway, _block_path(binary), _RAW, _RAW, method="HEAD") as answer:
                answer.drain()
                return True

        try:
            check_hash(binary)
            return self._attempts.ask(binary, ask)
        except (BlockNotFoundError, HashRefusedError):  # what proves nothing is not to be had here
            return False

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """See :meth:`ContentAddressableStore.has_blocks`; 32 requests are in flight."""
        return (there for _, there in in_order(self.has_block, wanted, threads=_IN_FLIGHT))

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`; 32 requests are in flight."""
        return in_order(self.get_block, wanted, threads=_IN_FLIGHT)

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`; the blocks come as a CAR, streamed.

        What does not come, or not in the order of the walk, is asked for again, and of the other gateways.
        """
        walk = Walk(
            self._attempts, lambda cid: self._begin(cid, "?format=car&dag-scope=all"), self._get_binary, resumes=True
        )
        try:
            yield from self._walk(cids.to_bytes(root), walk.get, ahead=walk.ahead)
            walk.finish()
        finally:
            walk.close()

    def get_way(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_way`; all blocks come in one CAR."""
        binary = cids.to_bytes(cid)
        path = "".join(f"/{quote(name, safe='')}" for name in names)
        if len(path) > _MAX_PATH_CHARS or any(name in {"", ".", ".."} or "/" in name for name in names):
            yield from super().get_way(cid, names)
            return
        walk = Walk(
            self._attempts,
            lambda cid: self._begin(cid, f"{path}?format=car&dag-scope=block"),
            self._get_binary,
            resumes=False,
        )
        step: tuple[bytes, Sequence[str]] | None = (binary, names)
        try:
            while step is not None:
                binary, names = step
                data = walk.get(binary)
                step = resolve_path(binary, data, names)
                if step is None:
                    walk.finish()
                yield cids.from_validated(binary), data
        finally:
            walk.close()

    def close(self) -> None:
        """See :meth:`ContentAddressableStore.close`; a closed store opens new connections when it is used."""
        super().close()
        self._connections.close()

    # -- requests --

    def _open(self, gateway: Gateway, path: str, accept: str, media_type: str, method: str = "GET") -> Answer:
        """An answer that is what was asked for: status 200, the media type, no encoding.

        :raises Failure: if it is anything else
        """
        headers = {"Accept": accept, **gateway.headers}
        answer = self._connections.get(gateway.url, path, headers, direct=gateway.is_loopback, method=method)
        try:
            if answer.status != 200:
                raise _refusal(answer)
            found = answer.headers.get("Content-Type", "")
            if found.partition(";")[0].strip().lower() != media_type:
                raise Failure(Why.FAILED, f"expected {media_type}, found {found[:100]!r}")
            if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise Failure(Why.FAILED, "expected bytes as they are, found them encoded")
        except Failure:
            answer.close()
            raise
        return answer

    def _fetch_block(self, gateway: Gateway, binary: bytes) -> bytes:
        with self._open(gateway, _block_path(binary), _RAW, _RAW) as answer:
            data = answer.read_all(MAX_NODE_BYTES)
        check_bytes(binary, data)
        return data

    def _begin(self, binary: bytes, rest: str) -> tuple[bytes, CarStream | None]:
        """The first block of a CAR, verified, and what follows it; of a gateway that sends no CARs, the block alone.

        :param rest: what stands behind the CID in the URL
        """
        path = f"/ipfs/{cids.to_text(binary)}{rest}"
        has_names = rest.startswith("/")

        def ask(gateway: Gateway) -> tuple[bytes, CarStream | None]:
            answer = self._open_car(gateway, path, has_names=has_names) if gateway.gives_cars else None
            if answer is not None:
                try:
                    stream = CarStream(answer, gateway)
                    return stream.take(binary), stream
                except Failure as failure:
                    answer.close()
                    if failure.why in {Why.WRONG, Why.SILENT}:
                        raise
            # Whatever is wrong with its archive, the block alone may be right.
            return self._fetch_block(gateway, binary), None

        return self._attempts.ask(binary, ask)

    def _open_car(self, gateway: Gateway, path: str, *, has_names: bool) -> Answer | None:
        """The answer to a request for a CAR; None if this gateway only sends blocks, or cannot go this way."""
        try:
            return self._open(gateway, path, _CAR_WANTED, _CAR)
        except Failure as failure:
            if failure.why is not Why.FAILED:
                raise
            if isinstance(failure, _RefusedError) and failure.status in _NO_CARS and not has_names:
                gateway.gives_cars = False
            return None

    # -- the store itself --

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GatewayCAStore):
            return NotImplemented
        return self.urls == other.urls

    def __hash__(self) -> int:
        return hash(tuple(self.urls))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self.urls)}>"


class _RefusedError(Failure):
    """A gateway answers with a status that says only that it does not do this."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(Why.FAILED, told)
        self.status = status


def _block_path(binary: bytes) -> str:
    return f"/ipfs/{cids.to_text(binary)}?format=raw"


def _refusal(answer: Answer) -> Failure:
    """What an answer other than 200 means."""
    status = answer.status
    if 300 <= status < 400:
        return Failure(Why.FAILED, "it answered with a redirect, which is not followed")
    start = answer.read(_MAX_MESSAGE_BYTES)
    answer.drain()
    if status in _ABSENT or (status == 500 and any(sign in start for sign in _NOT_FOUND)):
        return Failure(Why.ABSENT, f"HTTP {status}")
    pause = seconds_of(answer.headers.get("Retry-After"))
    told = f"HTTP {status} {start[:200]!r}"
    if status in _BUSY or (status == 504 and pause is not None):
        return Failure(Why.BUSY, told, pause)
    if status == 504:
        return Failure(Why.FAILED, f"it looked for the block in vain: {told}")
    if status in {401, 403}:
        return Failure(Why.FAILED, f"it asks for credentials, or forbids this: {told}")
    return _RefusedError(status, told)
