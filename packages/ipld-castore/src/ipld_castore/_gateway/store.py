"""The store over untrusted gateways: https://specs.ipfs.tech/http-gateways/trustless-gateway/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from ipld_car import cids
from multiformats import CID

from ipld_castore._core import graph
from ipld_castore._core.backend import AnyCID
from ipld_castore._core.hash_policy import check_hash, identity_bytes
from ipld_castore._core.path import PathStep
from ipld_castore._core.store import MAX_NODE_BYTES, ContentAddressableStore
from ipld_castore._http.client import HTTPClient
from ipld_castore._http.response import Response
from ipld_castore.concurrency import in_order
from ipld_castore.errors import BlockNotFoundError, HashRefusedError, ReadOnlyStoreError

from .car_download import CarStream, Walk, check_bytes
from .endpoints import Gateway, find_gateways
from .refusal import StatusError, UnverifiedError, check_headers, refusal
from .retry import ATTEMPT_ERRORS, AttemptError, Attempts, FailureKind, failure_of

_RAW: Final = "application/vnd.ipld.raw"
_CAR: Final = "application/vnd.ipld.car"
_CAR_ACCEPTED: Final = f"{_CAR};version=1;order=dfs;dups=n"

_NO_CARS: Final = frozenset({400, 406, 415, 501})
"""The statuses of gateways that only send blocks; such a gateway is asked for blocks from then on."""

_IN_FLIGHT: Final = 32
_MAX_PATH_CHARS: Final = 4096
_MAX_SIZE_DIGITS: Final = 9


class GatewayCAStore(ContentAddressableStore):
    """Blocks from trustless HTTP gateways, read-only. Every block is hashed before it is used.

    Of several gateways the one with the fewest recent failures is asked first, and among equals the first given. A
    gateway that sends wrong bytes is not asked for that block again. A gateway that is busy gets the pause that it asks
    for, at most 60 seconds. No public gateway is asked unless the caller names it.

    Redirects are not followed. A gateway that redirects the host name ``localhost``, as Kubo does, is asked for
    ``127.0.0.1`` instead. A response that is the block by its hash is taken whatever its media type.

    Threads may share a store; their requests are in flight together. A fork and a pickle have connections of their own.
    Two stores are equal if they ask the same gateways in the same order.

    :param urls: the URL of a gateway, or several; with ``user:password@`` where a gateway asks for credentials. The
        default is ``$IPFS_GATEWAY``, else the file ``gateway`` in ``$IPFS_PATH``, ``~/.ipfs``, ``~/.config/ipfs`` or
        ``/etc/ipfs``; a running Kubo writes the first two
    :param timeout: the seconds that a gateway may be silent
    :param retries: how often a gateway is asked again if it is busy, or breaks the connection
    :param token: a bearer token; there must be one gateway only
    :param hash: see :class:`ContentAddressableStore`; blocks that are read may have any trusted hash
    :raises ValueError: if there is no gateway, a URL cannot be parsed, or a number is out of its range

    >>> GatewayCAStore("http://127.0.0.1:8080/")
    <GatewayCAStore: http://127.0.0.1:8080>
    """

    local = False
    sends_graphs = True

    def __init__(
        self,
        urls: str | Iterable[str] | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        token: str | None = None,
        hash: str = "sha2-256",  # noqa: A002  # as the base class names it
    ) -> None:
        super().__init__(hash=hash)
        if not timeout > 0:
            raise ValueError(f"expected a timeout of more than 0 seconds, found {timeout}")
        if retries < 0:
            raise ValueError(f"expected a number of retries from 0 on, found {retries}")
        self._timeout = timeout
        self._retries = retries
        self._attempts = Attempts(find_gateways(urls, token), retries)
        self._client = HTTPClient(timeout)

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
        """See :meth:`ContentAddressableStore.get_block`. The bytes are verified, so that another gateway can be asked.

        :raises BlockCorruptError: if a gateway sent wrong bytes, and no other has the block
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
        """False: gateways cannot write."""
        return False

    def put_block(self, cid: CID, data: bytes) -> None:
        """Raise an error: gateways cannot write.

        :raises ReadOnlyStoreError: always
        """
        raise ReadOnlyStoreError(
            f"cannot put block {cid}: gateways only serve blocks; write to another store, for example an IPFSStore"
        )

    def has_block(self, cid: CID) -> bool:
        """Return whether a gateway says that it has, or finds, a block for ``cid``.

        The block is read only where the headers of a response do not tell.
        """
        binary = cids.to_bytes(cid)
        if identity_bytes(binary) is not None:
            return True

        def ask(gateway: Gateway) -> bool:
            try:
                self._open(gateway, _block_path(binary), _RAW, _RAW, method="HEAD").drain()
            except UnverifiedError:
                self._fetch_block(gateway, binary)
            return True

        try:
            check_hash(binary)
            return self._attempts.ask(binary, ask)
        except (BlockNotFoundError, HashRefusedError):  # a block with a weak hash is never asked for
            return False

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """See :meth:`ContentAddressableStore.has_blocks`. Up to 32 requests are in flight."""
        return (there for _, there in in_order(self.has_block, wanted, threads=_IN_FLIGHT))

    def block_size(self, cid: CID) -> int:
        """Return the size in bytes that a gateway says a block has.

        The block is read only where the headers of a response do not tell.
        """
        binary = cids.to_bytes(cid)
        inline = identity_bytes(binary)
        if inline is not None:
            return len(inline)

        def ask(gateway: Gateway) -> int:
            size = None
            with suppress(UnverifiedError):
                response = self._open(gateway, _block_path(binary), _RAW, _RAW, method="HEAD")
                size = response.headers.get("Content-Length", "")
                response.drain()
            known = size is not None and size.isascii() and size.isdigit() and len(size) <= _MAX_SIZE_DIGITS
            return int(size) if size is not None and known else len(self._fetch_block(gateway, binary))

        check_hash(binary)
        return self._attempts.ask(binary, ask)

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`. Up to 32 requests are in flight."""
        return in_order(self.get_block, wanted, threads=_IN_FLIGHT)

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_dag`. The blocks come as a CAR, streamed.

        Blocks that do not come, or not in the order of the walk, are asked for again, and of the other gateways.
        """
        walk = Walk(
            self._attempts, lambda cid: self._begin(cid, "?format=car&dag-scope=all"), self._get_binary, resumes=True
        )
        try:
            yield from graph.walk(walk.get, cids.to_bytes(root), prefetch=walk.ahead)
            walk.finish()
        finally:
            walk.close()

    def get_path(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_path`. All blocks come in one CAR."""
        binary = cids.to_bytes(cid)
        path = "".join(f"/{quote(name, safe='')}" for name in names)
        if len(path) > _MAX_PATH_CHARS or any(name in {"", ".", ".."} or "/" in name for name in names):
            yield from super().get_path(cid, names)
            return
        walk = Walk(
            self._attempts,
            lambda cid: self._begin(cid, f"{path}?format=car&dag-scope=block"),
            self._get_binary,
            resumes=False,
        )
        step: PathStep | None = PathStep(binary, names)
        try:
            while step is not None:
                found, data = cids.from_validated(step.cid), walk.get(step.cid)
                step = step.next(data)
                if step is None:
                    walk.finish()
                yield found, data
        finally:
            walk.close()

    def close(self) -> None:
        """See :meth:`ContentAddressableStore.close`. A closed store opens new connections when it is used."""
        super().close()
        self._client.close()

    # -- requests --

    def _request(self, gateway: Gateway, path: str, accept: str, method: str = "GET") -> Response:
        """Send a request. Where a gateway redirects the host name ``localhost``, send it again with an IP address."""
        headers = gateway.headers
        response = self._client.request(method, gateway.address, path, {"Accept": accept, **headers})
        if not (response.is_redirect and gateway.address.is_localhost and not headers):
            return response
        response.close()  # the body is what was asked for, of any length
        gateway.use_ip_as_host()
        return self._client.request(method, gateway.address, path, {"Accept": accept, **gateway.headers})

    def _open(self, gateway: Gateway, path: str, accept: str, media_type: str, method: str = "GET") -> Response:
        """Send a request and return its response if that is what was asked for: status 200, media type, no encoding.

        :raises AttemptError: if the response is anything else
        :raises TransportError: if there is no response
        """
        response = self._request(gateway, path, accept, method)
        try:
            if response.status != 200:
                raise refusal(response)
            check_headers(response, media_type)
        except ATTEMPT_ERRORS:
            response.close()
            raise
        return response

    def _fetch_block(self, gateway: Gateway, binary: bytes) -> bytes:
        """Return the verified bytes of a block from one gateway.

        The hash decides, so that the body of a redirect, or one of another media type, is taken if it is the block.
        """
        with self._request(gateway, _block_path(binary), _RAW) as response:
            if response.status != 200 and not response.is_redirect:
                raise refusal(response)
            data = response.read_all(MAX_NODE_BYTES)
        try:
            check_bytes(binary, data)
        except AttemptError:
            if response.is_redirect:
                raise refusal(response) from None
            check_headers(response, _RAW)  # an error page is no corrupt block
            raise
        return data

    def _begin(self, binary: bytes, rest: str) -> tuple[bytes, CarStream | None]:
        """Return the first block of a CAR, verified, and the rest of the CAR, or None where a gateway sends no CARs.

        :param rest: the rest of the URL behind the CID
        """
        path = f"/ipfs/{cids.to_text(binary)}{rest}"
        has_names = rest.startswith("/")

        def ask(gateway: Gateway) -> tuple[bytes, CarStream | None]:
            response = self._open_car(gateway, path, has_names=has_names) if gateway.sends_cars else None
            if response is not None:
                try:
                    stream = CarStream(response, gateway)
                    return stream.take(binary), stream
                except ATTEMPT_ERRORS as error:
                    response.close()
                    if failure_of(error).kind in {FailureKind.CORRUPT, FailureKind.SILENT}:
                        raise
            # Whatever is wrong with the archive of the gateway, the block alone may be right.
            return self._fetch_block(gateway, binary), None

        return self._attempts.ask(binary, ask)

    def _open_car(self, gateway: Gateway, path: str, *, has_names: bool) -> Response | None:
        """Request a CAR; return None if the gateway only sends blocks, or does not know the path."""
        try:
            return self._open(gateway, path, _CAR_ACCEPTED, _CAR)
        except AttemptError as error:
            if error.kind is not FailureKind.REFUSED:
                raise
            if isinstance(error, StatusError) and error.status in _NO_CARS and not has_names:
                gateway.sends_cars = False
            return None

    # -- the store itself --

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self.urls)}>"


def _block_path(binary: bytes) -> str:
    return f"/ipfs/{cids.to_text(binary)}?format=raw"
