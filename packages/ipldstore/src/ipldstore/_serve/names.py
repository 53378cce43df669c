"""IPNS records: those of files beside the archives, and those that a node has. Each is checked before it is served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ipld_castore import BlockNotFoundError, IPFSStore, NameRefusedError, parse_record
from starlette.requests import Request
from starlette.responses import Response

from .headers import CORS, SAFE, disposition, is_fresh
from .negotiation import IPNS_RECORD, ranged
from .sources import Source
from .traversal import NoSuchPathError

SUFFIX: Final = ".ipns-record"
_CACHE: Final = "public, max-age=1800"
_MAX_BYTES: Final = 10 << 10


def read_records(paths: Iterable[str]) -> dict[str, bytes]:
    """Return the records of files that are called after their names, as ``k51...ipns-record``; by name.

    What follows ``_`` in the name of a file does not count.

    :raises OSError: if a file cannot be read
    :raises NameRefusedError: if a record is malformed, not valid any more, or not signed by the key of its name
    """
    records = {}
    for path in map(Path, paths):
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        records[parse_record(path.name.removesuffix(SUFFIX).partition("_")[0], data).name] = data
    return records


def record_response(request: Request, name: str, sources: Sequence[Source], files: Mapping[str, bytes]) -> Response:
    """Return the signed record of an IPNS name, for the visitor to verify.

    :param files: records by name, as :func:`read_records` gives them
    :raises NoSuchPathError: if no valid record of the name is found
    """
    data = files.get(name)
    if data is None:
        data = _of_nodes(name, sources)
    record = parse_record(name, data)  # one that was right when it was read may have ended
    headers = {
        **SAFE,
        **CORS,
        "Cache-Control": _CACHE,
        "ETag": f'"{record.name}.{record.sequence}"',
        "Content-Disposition": disposition(request.query_params.get("filename") or f"{name}{SUFFIX}"),
        "X-Ipfs-Path": f"/ipns/{name}",
    }
    if is_fresh(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return ranged(request, data, IPNS_RECORD, headers)


def _of_nodes(name: str, sources: Sequence[Source]) -> bytes:
    refused: NameRefusedError | None = None
    for source in sources:
        if isinstance(source.castore, IPFSStore):
            try:
                data = source.castore.get_record(name)
                parse_record(name, data)
            except BlockNotFoundError:
                continue
            except NameRefusedError as error:  # another node may have a right one
                refused = error
                continue
            return data
    if refused is not None:
        raise refused
    raise NoSuchPathError(f"expected a record of the name {name[:100]!r}, found none")
