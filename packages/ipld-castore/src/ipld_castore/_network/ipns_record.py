"""IPNS records: parsed, their signature and validity checked. Source: https://specs.ipfs.tech/ipns/ipns-record/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ipld_car import CarError, dagcbor, dagpb

from ipld_castore.errors import NameRefusedError

from .ipns_key import multihash_of_name, text_of_name, verifier_of

MAX_RECORD_BYTES: Final = 10 << 10
"""The most bytes of a record, by the specification."""

_SIGNED: Final = b"ipns-signature:"
_VALUE, _SIGNATURE_V1, _VALIDITY_TYPE, _VALIDITY, _SEQUENCE, _TTL, _PUBLIC_KEY, _SIGNATURE_V2, _DATA = range(1, 10)
_NAMES: Final = {
    "Value": (_VALUE, bytes),
    "ValidityType": (_VALIDITY_TYPE, int),
    "Validity": (_VALIDITY, bytes),
    "Sequence": (_SEQUENCE, int),
    "TTL": (_TTL, int),
}
"""The fields of the signed data, and those of the record that repeat them."""
_END_OF_LIFE: Final = 0
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class IPNSRecord:
    """What the owner of an IPNS name has signed."""

    name: str
    """The name, in base36."""
    value: str
    """The path that the name points to, such as ``/ipfs/CID``."""
    sequence: int
    """Greater in each record than in the one before."""
    end_of_life: datetime
    """The time until which the record is valid."""

    def supersedes(self, other: IPNSRecord) -> bool:
        """Return whether this record counts rather than another of the same name."""
        return (self.sequence, self.end_of_life) > (other.sequence, other.end_of_life)


def parse_record(name: str, data: bytes, *, now: datetime | None = None) -> IPNSRecord:
    """Return what a record says, after its version 2 signature and its validity have been checked.

    :param name: the IPNS name that the record is to be of
    :param data: the record, in protobuf
    :param now: the time, by default that of the clock
    :raises NameRefusedError: if the record is malformed, too long, of another name, not signed by the key of the
        name, or not valid any more
    :raises ImportError: if ``cryptography`` is not installed
    """
    multihash = multihash_of_name(name)
    if multihash is None:
        raise NameRefusedError(f"expected an IPNS name, such as k51..., found {name[:100]!r}")
    name = text_of_name(multihash)
    fields = _fields_of(name, data)
    signature, signed = fields.get(_SIGNATURE_V2), fields.get(_DATA)
    if not signature or not signed:
        raise NameRefusedError(f"the record of {name} has no signature of version 2, which alone is safe")
    key = fields.get(_PUBLIC_KEY)
    check = verifier_of(multihash, key, name)
    check(signature, _SIGNED + signed)
    said = _said(name, signed)
    _check_repeated(name, fields, said)
    end = _time_of(name, said["Validity"])
    if end <= (datetime.now(UTC) if now is None else now):
        raise NameRefusedError(f"the record of {name} was valid until {end.isoformat()} and is not any more")
    try:
        value = said["Value"].decode()
    except UnicodeDecodeError:
        raise NameRefusedError(f"the record of {name} points to something that is no text") from None
    return IPNSRecord(name, value, said["Sequence"], end)


def _fields_of(name: str, data: bytes) -> dict[int, Any]:
    """Return the fields of a record; fields with other kinds than they should have are refused."""
    if len(data) > MAX_RECORD_BYTES:
        raise NameRefusedError(f"expected a record of at most {MAX_RECORD_BYTES} bytes for {name}, found {len(data)}")
    try:
        found: dict[int, Any] = {number: value for number, _, value in dagpb.fields(data)}
    except CarError as error:
        raise NameRefusedError(f"the record of {name} is malformed: {error}") from error
    for number in range(_VALUE, _DATA + 1):
        kind = int if number in (_VALIDITY_TYPE, _SEQUENCE, _TTL) else bytes
        if not isinstance(found.get(number, kind()), kind):
            raise NameRefusedError(f"the record of {name} is malformed: field {number} is no {kind.__name__}")
    return found


def _said(name: str, signed: bytes) -> dict[str, Any]:
    """Return the signed data, a map in DAG-CBOR."""
    try:
        said = dagcbor.decode(signed)
    except CarError as error:
        raise NameRefusedError(f"the record of {name} has data that are no DAG-CBOR: {error}") from error
    if not isinstance(said, dict):
        raise NameRefusedError(f"the record of {name} has data that are no map")
    for field, (_, kind) in _NAMES.items():
        value = said.get(field)
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise NameRefusedError(f"the record of {name} has no field {field} of the kind {kind.__name__}")
    if said["ValidityType"] != _END_OF_LIFE:
        raise NameRefusedError(f"the record of {name} has a validity of an unknown kind, {said['ValidityType']}")
    return said


def _check_repeated(name: str, fields: dict[int, Any], said: dict[str, Any]) -> None:
    """Refuse a record that says something else to readers of version 1, if it speaks to them."""
    if not (fields.get(_SIGNATURE_V1) or fields.get(_VALUE)):
        return
    for field, (number, kind) in _NAMES.items():
        if fields.get(number, kind()) != said[field]:
            raise NameRefusedError(f"the record of {name} has two values of {field}")


def _time_of(name: str, text: bytes) -> datetime:
    """Return a time by RFC 3339 with up to nanoseconds, which Python would not take."""
    found = _TIME.fullmatch(text.decode("ascii", errors="replace"))
    try:
        if found is None:
            raise ValueError
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
        return whole.astimezone(UTC) + timedelta(microseconds=int((found[2] or "0").ljust(9, "0")[:6]))
    except (ValueError, OverflowError):
        raise NameRefusedError(f"the record of {name} is valid until {text[:40]!r}, which is no time") from None
