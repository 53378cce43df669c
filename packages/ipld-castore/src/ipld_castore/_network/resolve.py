"""What an IPNS name or a domain points to, asked of a node, or found out by signed records and the DNS."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ipld_car import CarError, cids
from multiformats import CID

from ipld_castore._core.store import ContentAddressableStore
from ipld_castore._gateway.records import fetch_records
from ipld_castore._gateway.store import GatewayCAStore
from ipld_castore._kubo.store import IPFSStore
from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError, NameRefusedError

from .dnslink import resolve_dnslink
from .find import find_ipfs
from .ipns_key import multihash_of_name, text_of_name
from .ipns_record import IPNSRecord, parse_record

_MAX_STEPS: Final = 32
"""The most names that may point to each other, as the specification has it."""
_MAX_PATH: Final = 4096
_MAX_REMEMBERED: Final = 1024


class ResolvedName(NamedTuple):
    """What a name points to now."""

    name: str
    """The name that was asked for."""
    cid: CID
    """The CID that came out."""
    path: tuple[str, ...]
    """The names below the CID that the name points to."""
    steps: tuple[str, ...]
    """The paths on the way, such as ``/ipns/k51...`` and ``/ipfs/CID``."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


class _Newest:
    """The newest record of each name that this process has seen. No gateway can go back behind it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.records: dict[str, IPNSRecord] = {}


_newest: ForkLocal[_Newest] = ForkLocal(_Newest)


def resolve_name(
    name: str,
    *,
    node: str | bool | None = None,
    gateways: str | Iterable[str] | None = None,
    doh: str | None = None,
    **options: Any,
) -> ResolvedName:
    """Return what an IPNS name, or a domain with a DNSLink, points to.

    A node is asked if one answers: it takes the name apart, and is trusted. Without one, the record of an IPNS key is
    asked of all gateways. Its signature (version 2), name and validity are checked, and the record with the highest
    sequence number counts, also beside those that this process has seen before. A domain is looked up in the DNS.

    A name is not verified as a block is: gateways may hold back a newer record, and who controls the DNS, or the way to
    it, controls domains. What came out is in the result.

    :param name: ``k51...`` and the other forms of an IPNS key, or a domain
    :param node: see :func:`find_ipfs`
    :param gateways: see :func:`find_ipfs`
    :param doh: the URL of a server of DNS over HTTPS; by default ``$IPLD_DOH``, else the resolver of this machine
    :param options: see :func:`find_ipfs`
    :raises BlockNotFoundError: if the name points to nothing, as far as can be found out
    :raises NameRefusedError: if there are records, and none is right
    :raises BackendUnavailableError: if no resolver can be asked
    :raises ImportError: if ``cryptography``, or ``dnspython`` for a domain, is not installed
    """
    found = find_ipfs(node=node, gateways=gateways, **options)
    try:
        return resolve_at(found, name, doh=doh)
    finally:
        found.close()


def resolve_at(store: ContentAddressableStore, name: str, *, doh: str | None = None) -> ResolvedName:
    """Return what a name points to, as the store that :func:`find_ipfs` gave finds out; see :func:`resolve_name`."""
    steps = [f"/ipns/{name}"]
    below: tuple[str, ...] = ()
    current = name
    for _ in range(_MAX_STEPS):
        value = _value_of(store, current, doh)
        steps.append(value)
        kind, head, path = _split(current, value)
        below = (*path, *below)
        if kind == "ipfs":
            return ResolvedName(name, _cid(current, head), below, tuple(steps))
        current = head
    raise NameRefusedError(f"the name {name!r} leads through more than {_MAX_STEPS} names: {' > '.join(steps[:5])} ...")


def _value_of(store: ContentAddressableStore, name: str, doh: str | None) -> str:
    if isinstance(store, IPFSStore):
        return store.resolve_path(name)
    multihash = multihash_of_name(name)
    if multihash is None:
        return resolve_dnslink(name, doh=doh)
    if not isinstance(store, GatewayCAStore):
        raise BackendUnavailableError(f"cannot resolve {name!r}: expected a node or gateways, found {store!r}")
    return _newest_record(store, text_of_name(multihash)).value


def _newest_record(store: GatewayCAStore, name: str) -> IPNSRecord:
    """Return the record with the highest sequence that any gateway has, or that was seen before."""
    refused: list[str] = []
    mine = _newest.value
    with mine.lock:
        best = mine.records.get(name)
    if best is not None and best.end_of_life <= datetime.now(UTC):
        best = None
    answers = fetch_records(store, name)
    for gateway, data in answers.records:
        try:
            record = parse_record(name, data)
        except NameRefusedError as error:
            refused.append(f"{gateway}: {error}")
            continue
        if best is None or record.supersedes(best):
            best = record
    if best is not None:
        _remember(best)
        return best
    if refused:
        raise NameRefusedError(f"no gateway has a right record of {name}: {'; '.join([*refused, *answers.failures])}")
    if answers.is_absent:
        raise BlockNotFoundError(f"no gateway has a record of {name}: {'; '.join(answers.failures)}")
    raise BackendUnavailableError(f"cannot get the record of {name}: {'; '.join(answers.failures)}")


def _remember(record: IPNSRecord) -> None:
    mine = _newest.value
    with mine.lock:
        known = mine.records.get(record.name)
        if known is None or record.supersedes(known):
            mine.records[record.name] = record
        while len(mine.records) > _MAX_REMEMBERED:
            del mine.records[next(iter(mine.records))]


def _split(name: str, value: str) -> tuple[str, str, tuple[str, ...]]:
    """Return kind, CID or name, and the names behind it, of a path such as ``/ipfs/CID/a``."""
    if len(value) > _MAX_PATH:
        raise NameRefusedError(f"the name {name!r} points to a path of {len(value)} characters")
    _, kind, head, *path = [*value.split("/"), "", ""]
    parts = tuple(part for part in path if part)
    if not value.startswith("/") or kind not in ("ipfs", "ipns") or not head or {".", ".."} & set(parts):
        raise NameRefusedError(f"expected the name {name!r} to point to /ipfs/CID or /ipns/name, found {value[:200]!r}")
    return kind, head, parts


def _cid(name: str, text: str) -> CID:
    try:
        return cids.from_validated(cids.to_bytes(text))
    except CarError as error:
        raise NameRefusedError(f"expected the name {name!r} to point to a CID, found {text[:200]!r}") from error
