"""Blocks on an IPFS node, one call of Kubo's RPC a block: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from typing import Any, Final, TypeVar

import requests
from ipld_car import CarError, cids, hashes
from multiformats import CID
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from ._base import MAX_NODE_BYTES, ContentAddressableStore
from ._errors import BackendUnavailableError, BlockCorruptError, BlockNotFoundError, HashRefusedError
from ._node import find_node
from ._policy import check_hash

T = TypeVar("T")

_CODECS: Final = {cids.RAW: "raw", cids.DAG_PB: "dag-pb", cids.DAG_CBOR: "dag-cbor"}

_HASHES: Final = {
    cids.SHA2_256: "sha2-256",
    hashes.SHA2_512: "sha2-512",
    hashes.BLAKE3: "blake3",
    hashes.BLAKE2B_256: "blake2b-256",
}

_MAX_ANSWER_BYTES: Final = 1 << 16
"""Longest answer, or line of one, that is no block."""

GRACE: Final = 10.0
"""Seconds beyond the timeout, in which the node says itself that it is over."""

_NOT_FOUND: Final = ("ipld: could not find", "block not found")
_GAVE_UP: Final = ("context deadline exceeded", "request timed out", "deadline has elapsed")


def _text(cid: CID) -> str:
    """What stands in a request: nothing but a CID, whatever was given for one."""
    return cids.to_text(cids.to_bytes(cid))


class IPFSStore(ContentAddressableStore):
    """Blocks on an IPFS node (Kubo), over its RPC API.

    The node keeps blocks by multihash, so listing gives raw CIDs. Blocks are not pinned: the node's garbage
    collection, if it is on, takes what no pin reaches. Two stores are equal if they are of the same address.

    :param host: the address of the RPC API as URL (``http://127.0.0.1:5001``; with ``user:password@`` where the node
        asks for that), ``host:port`` or multiaddr; by default the one in the file ``api`` of ``$IPFS_PATH`` or
        ``~/.ipfs``, which a running node writes, else ``http://127.0.0.1:5001``
    :param timeout: seconds that the node may look for a block, and that it may be silent
    :param offline: get only what the node has; else it asks the network for the rest
    :param hash: see :class:`ContentAddressableStore`
    :raises ValueError: if the address is none

    >>> IPFSStore("/ip4/127.0.0.1/tcp/5001")
    <IPFSStore: http://127.0.0.1:5001>
    """

    local = False

    def __init__(
        self,
        host: str | None = None,
        *,
        timeout: float = 60.0,
        offline: bool = False,
        hash: str = "sha2-256",  # noqa: A002
    ) -> None:
        super().__init__(hash=hash)
        if not timeout > 0:
            raise ValueError(f"expected a timeout of more than 0 seconds, found {timeout}")
        self._node = find_node(host)
        self._timeout = timeout
        self._offline = offline
        self._session: tuple[int, requests.Session] | None = None

    @property
    def host(self) -> str:
        """The URL of the node, without credentials."""
        return self._node.url

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return self.host

    # -- verbs --

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`.

        :raises BlockNotFoundError: also if the network had no such block within the timeout
        """
        offline = "true" if self._offline else "false"
        with self._call("block/get", cid, arg=_text(cid), offline=offline, timeout=self._duration()) as answer:
            return self._read(answer, MAX_NODE_BYTES, f"block {cid}")

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`; a block that the node has already is left as it is.

        :raises BlockCorruptError: if the node found another hash than that of the CID
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        binary = cids.to_bytes(cid)
        check_hash(binary)
        if len(data) > MAX_NODE_BYTES:
            raise BackendUnavailableError(
                f"cannot put block {cid}: IPFS nodes exchange at most {MAX_NODE_BYTES} bytes, found {len(data)}"
            )
        prefix = cids.prefix_of(binary)
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="block"\r\n\r\n'
        with self._call(
            "block/put",
            cid,
            b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode())),
            f"multipart/form-data; boundary={boundary}",
            pin="false",
            timeout=self._duration(),
            mhtype=_HASHES[prefix.hash_code],
            mhlen=str(prefix.digest_size),
            **{"cid-codec": _CODECS.get(prefix.codec, "raw")},
        ) as answer:
            key = self._field(self._read(answer, _MAX_ANSWER_BYTES), "Key", str)
        if cids.multihash_of(self._binary(key)) != cids.multihash_of(binary):
            raise BlockCorruptError(f"put block {cid}, but the bytes that reached the node at {self.host} are {key}")

    def has_block(self, cid: CID) -> bool:
        """Whether the node itself has a block for ``cid``; the network is not asked."""
        try:
            self.block_size(cid)
        except (BlockNotFoundError, HashRefusedError):  # nodes keep no blocks of weak hashes
            return False
        return True

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`; the network is not asked.

        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        check_hash(cids.to_bytes(cid))
        with self._call("block/stat", cid, arg=_text(cid), offline="true", timeout=self._duration()) as answer:
            return self._field(self._read(answer, _MAX_ANSWER_BYTES), "Size", int)

    def delete_block(self, cid: CID) -> None:
        """See :meth:`ContentAddressableStore.delete_block`.

        :raises BackendUnavailableError: also if a pin holds the block
        """
        with self._call("block/rm", cid, arg=_text(cid), force="true", timeout=self._duration()) as answer:
            for line in self._lines(answer):
                problem = self._parse(line).get("Error")
                if problem:
                    raise BackendUnavailableError(f"the node at {self.host} cannot delete block {cid}: {problem}")

    def __iter__(self) -> Iterator[CID]:
        """Raw CIDs of all blocks that the node has, while they are listed."""
        # Without a timeout of the node's: where one ends a list cannot be told from the end of the list.
        with self._call("refs/local") as answer:
            for line in self._lines(answer):
                problem = self._parse(line).get("Err")
                if problem:
                    raise BackendUnavailableError(f"the node at {self.host} cannot list its blocks: {problem}")
                yield cids.from_checked(self._binary(self._field(line, "Ref", str)))

    def close(self) -> None:
        """See :meth:`ContentAddressableStore.close`; a closed store opens new connections when it is used."""
        super().close()
        if self._session is not None:
            self._session[1].close()
            self._session = None

    # -- calls --

    def _duration(self) -> str:
        """The timeout as Kubo takes it; without a unit it would answer at once, with nothing."""
        return f"{max(round(self._timeout * 1000), 1)}ms"

    def _connections(self) -> requests.Session:
        """The connections of this process; a fork must not speak on those of its parent."""
        if self._session is not None and self._session[0] == os.getpid():
            return self._session[1]
        session = requests.Session()
        session.trust_env = not self._node.is_loopback  # HTTP_PROXY would send the call elsewhere
        session.auth = self._node.credentials
        session.headers.update({"User-Agent": f"ipld-castore/{version('ipld-castore')}", "Accept-Encoding": "identity"})
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=32)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        self._session = os.getpid(), session
        return session

    @contextmanager
    def _call(
        self, command: str, cid: CID | None = None, body: bytes | None = None, content: str = "", **options: str
    ) -> Iterator[requests.Response]:
        """The answer to a command, its body not yet read.

        :param cid: the block that the command is about, for errors
        :param body: what to send, of the media type ``content``
        """
        try:
            answer = self._connections().post(
                f"{self.host}/api/v0/{command}",
                params=options,
                data=body,
                headers={"Content-Type": content} if body is not None else None,
                # The node's own timeout comes first, as it says what it waited for.
                timeout=(min(self._timeout, 10.0), self._timeout + GRACE),
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            raise self._unanswered(command, error) from error
        with answer:
            try:
                if answer.status_code != 200:
                    raise self._refusal(command, cid, answer)
                yield answer
            except requests.RequestException as error:
                raise BackendUnavailableError(
                    f"the IPFS node at {self.host} broke off its answer to {command}: {error}"
                ) from error

    def _unanswered(self, command: str, error: requests.RequestException) -> BackendUnavailableError:
        """The error that it means when a call fails before there is an answer."""
        if isinstance(error, requests.ReadTimeout):
            return BackendUnavailableError(
                f"the IPFS node at {self.host} was silent for {self._timeout + GRACE:g} s after {command}"
            )
        reason = getattr(error.args[0], "reason", None) if error.args else None
        if not isinstance(reason, (NewConnectionError, ConnectTimeoutError)):
            return BackendUnavailableError(f"{command} did not reach the IPFS node at {self.host}: {error}")
        told = f" (the address is from {self._node.source}, which may be stale)" if self._node.source else ""
        return BackendUnavailableError(
            f"no IPFS node answers at {self.host}{told}: start one with `ipfs daemon`, or give the address of "
            f"its RPC API as {type(self).__name__}(host)"
        )

    def _odd(self, what: str) -> BackendUnavailableError:
        return BackendUnavailableError(
            f"{self.host} answered {what}: is that the RPC API of an IPFS node (usually port 5001, not the gateway)?"
        )

    def _refusal(self, command: str, cid: CID | None, answer: requests.Response) -> Exception:
        """The error that an answer other than 200 means."""
        status = answer.status_code
        if answer.is_redirect:
            return self._odd(f"{command} with a redirect, which is not followed")
        body = self._read(answer, _MAX_ANSWER_BYTES)
        if status == 403:
            return BackendUnavailableError(
                f"the IPFS node at {self.host} forbids {command}: its API.Authorizations ask for credentials, "
                f"which can be given as http://user:password@host:port"
            )
        if status != 500:
            return self._odd(f"{command} with HTTP {status} {body[:200]!r}")
        message = self._field(body, "Message", str)
        if any(sign in message for sign in _NOT_FOUND):
            return BlockNotFoundError(f"no block {cid} on the IPFS node at {self.host}")
        if command == "block/get" and any(sign in message for sign in _GAVE_UP):
            return BlockNotFoundError(
                f"no block {cid} on the IPFS node at {self.host}, nor in the network within {self._timeout:g} s"
            )
        return BackendUnavailableError(f"the IPFS node at {self.host} cannot do {command} of {cid}: {message[:500]}")

    # -- answers --

    def _read(self, answer: requests.Response, limit: int, what: str = "an answer") -> bytes:
        """The body of an answer, refused as soon as it is longer than ``limit`` bytes."""
        pieces, size = [], 0
        for piece in answer.iter_content(1 << 18):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise BackendUnavailableError(f"expected {what} of at most {limit} bytes from {self.host}, found more")
        return b"".join(pieces)

    def _lines(self, answer: requests.Response) -> Iterator[bytes]:
        """The lines of an answer; one that is too long is refused before it is read."""
        rest = b""
        for piece in answer.iter_content(1 << 14):
            *lines, rest = (rest + piece).split(b"\n")
            yield from filter(None, lines)
            if len(rest) > _MAX_ANSWER_BYTES:
                raise self._odd("with a line that does not end")
        if rest:
            yield rest

    def _parse(self, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._odd(f"with {text[:100]!r} instead of JSON") from error
        if not isinstance(value, dict):
            raise self._odd(f"with {text[:100]!r} instead of a JSON object")
        return value

    def _field(self, text: bytes, name: str, kind: type[T]) -> T:
        value = self._parse(text).get(name)
        if type(value) is not kind:
            raise self._odd(f"with {text[:100]!r}, where {name!r} was expected")
        return value

    def _binary(self, text: str) -> bytes:
        try:
            return cids.to_bytes(text)
        except CarError as error:
            raise self._odd(f"with {text[:100]!r} instead of a CID") from error

    # -- the store itself --

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_session": None}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IPFSStore):
            return NotImplemented
        return self.host == other.host

    def __hash__(self) -> int:
        return hash(self.host)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.host}>"
