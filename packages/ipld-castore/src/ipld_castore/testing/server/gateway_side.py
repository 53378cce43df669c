"""The trustless gateway of the test server, as Kubo 0.43 answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Protocol

from ipld_car import CarError, CarWriter, cids, walk_binary

from ipld_castore._core.hash_policy import identity_bytes
from ipld_castore._core.path import PathStep
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BlockNotFoundError, CAStoreError

from .replies import CAR_TYPE, RAW_TYPE, Reply, reply, text_reply

_CAR_HEADERS = {"Content-Type": f"{CAR_TYPE}; version=1; order=dfs; dups=n", "X-Content-Type-Options": "nosniff"}
_EMPTY = cids.make(cids.RAW, b"", cids.IDENTITY)


class AnyRequest(Protocol):
    """The parts of a request that decide the response."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def option(self, name: str, default: str = "") -> str:
        """Return the value of an option of the query."""


class GatewaySide:
    """Answers ``GET /ipfs/...`` and ``HEAD /ipfs/...``."""

    def __init__(self, blocks: ContentAddressableStore) -> None:
        self._blocks = blocks

    def reply_to(self, request: AnyRequest) -> Reply | None:
        """Return the response; None for requests that are not for a gateway."""
        if request.method not in {"GET", "HEAD"} or not request.path.startswith("/ipfs/"):
            return None
        text, *names = request.path.removeprefix("/ipfs/").rstrip("/").split("/")
        accept = request.headers.get("accept", "")
        wanted = request.option("format")
        try:
            root = cids.to_bytes(text)
            if wanted == "raw" or (not wanted and RAW_TYPE in accept):
                return self._raw(request, root, names)
            if wanted == "car" or (not wanted and CAR_TYPE in accept):
                return self._car(root, names, request.option("dag-scope", "all"))
        except CarError as error:
            return text_reply(400, f"invalid path: {error}")
        except BlockNotFoundError as error:
            return text_reply(404, f"ipld: could not find {error}")
        except CAStoreError as error:
            return text_reply(500, str(error))
        return text_reply(406, "only application/vnd.ipld.raw and application/vnd.ipld.car are served here")

    def _raw(self, request: AnyRequest, root: bytes, names: list[str]) -> Reply:
        if request.headers.get("cache-control") == "only-if-cached" and not self._has(root):
            return text_reply(412, f"block {cids.to_text(root)} is not in the local datastore")
        path, whole = self._path(root, names)
        if not whole:
            return text_reply(404, f"no link named {names[-1]!r}")
        return reply(200, self._get(path[-1]), RAW_TYPE, X_Content_Type_Options="nosniff")

    def _car(self, root: bytes, names: list[str], scope: str) -> Reply:
        path, whole = self._path(root, names)
        # For a path that leads nowhere a gateway sends the blocks that prove it.
        end = path[-1] if whole else _EMPTY
        self._get(path[-1])
        below = self._scope(path[-1], scope) if whole else iter(())
        return Reply(200, dict(_CAR_HEADERS), self._sections(end, path[:-1] if whole else path, below))

    def _path(self, root: bytes, names: list[str]) -> tuple[list[bytes], bool]:
        """Return the CIDs of the blocks on a path, and whether the path exists."""
        step, met = PathStep(root, names), [root]
        while step.names:
            below = step.next(self._get(step.cid))
            if below is None:
                return met, self._ends_inside(step.cid, list(step.names))
            met.append(below.cid)
            step = below
        return met, True

    def _ends_inside(self, cid: bytes, names: list[str]) -> bool:
        """Return whether a path without links ends at a value in a block."""
        if cids.codec_of(cid) != cids.DAG_CBOR:
            return False
        node = self._blocks.get(cid)
        for name in names:
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            else:
                return False
        return True

    def _scope(self, cid: bytes, scope: str) -> Iterator[tuple[bytes, bytes]]:
        if scope == "all" or (scope == "entity" and cids.codec_of(cid) == cids.DAG_PB):
            return walk_binary(self._get, cid)
        return iter([(cid, self._get(cid))])

    def _sections(self, end: bytes, path: list[bytes], below: Iterator[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Yield the bytes of a CAR, section by section. A missing block breaks the response off."""
        stream = BytesIO()
        writer = CarWriter(stream, [end], verify=False)
        seen = set()

        def pairs() -> Iterator[tuple[bytes, bytes]]:
            for cid in path:
                yield cid, self._get(cid)
            yield from below

        for cid, data in pairs():
            if cid not in seen and identity_bytes(cid) is None:
                seen.add(cid)
                writer.write(cid, data)
                yield stream.getvalue()
                stream.seek(0)
                stream.truncate()
        writer.close()
        yield stream.getvalue()

    def _get(self, cid: bytes) -> bytes:
        return self._blocks.get_raw(cid, verify=False)

    def _has(self, cid: bytes) -> bool:
        try:
            return cid in self._blocks
        except CAStoreError:
            return False
