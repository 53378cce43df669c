"""IPNS records: what the owner of a name has signed counts, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import dagcbor
from ipld_castore import CAStoreError, NameRefusedError
from ipld_castore._network.ipns_key import multihash_of_name, text_of_name
from ipld_castore._network.ipns_record import parse_record

pytest.importorskip("cryptography", reason="the extra ipns is not installed")

from ..support.ipns_records import KINDS, VALUE, Owner, field, record, said


@pytest.fixture(scope="module")
def owner() -> Owner:
    return Owner()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("repeat", [False, True])
def test_what_the_owner_signed(kind: str, repeat: bool) -> None:
    owner = Owner(kind)
    key = None if len(owner.multihash) > 34 else owner.public  # a short key is the name
    found = parse_record(owner.name, record(owner, said(), key=key, repeat=repeat))
    assert (found.name, found.value, found.sequence) == (owner.name, VALUE.decode(), 7)
    assert found.end_of_life > datetime.now(UTC)


def test_the_forms_of_a_name(owner: Owner) -> None:
    from multiformats import multibase

    binary = b"\x01\x72" + owner.multihash
    for name in (
        multibase.encode(binary, "base36"),
        multibase.encode(binary, "base32"),
        multibase.encode(owner.multihash, "base58btc")[1:],
    ):
        assert multihash_of_name(name) == owner.multihash
        assert parse_record(name, record(owner, said())).name == owner.name
    for domain in ("example.org", "k51", "12D3KooX", "", "bafkqaaa"):
        assert multihash_of_name(domain) is None
        with pytest.raises(NameRefusedError, match="expected an IPNS name"):
            parse_record(domain, record(owner, said()))


def test_the_signature_of_another(owner: Owner) -> None:
    with pytest.raises(NameRefusedError, match="wrong signature"):
        parse_record(owner.name, record(Owner(), said()))
    made = record(owner, said())
    for at in (10, len(made) // 2, len(made) - 1):
        changed = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
        with pytest.raises(NameRefusedError):
            parse_record(owner.name, changed)


def test_a_record_of_version_1_alone(owner: Owner) -> None:
    """Its signature does not cover all that counts; it is never believed."""
    data = said()
    first = field(1, data["Value"]) + field(2, owner.sign(data["Value"] + data["Validity"] + b"EOL")) + field(3, 0)
    first += field(4, data["Validity"]) + field(5, 7) + field(6, 10**9)
    with pytest.raises(NameRefusedError, match="no signature of version 2"):
        parse_record(owner.name, first)
    with pytest.raises(NameRefusedError, match="no signature of version 2"):
        parse_record(owner.name, first + field(8, b"") + field(9, dagcbor.encode(data)))


def test_two_values_in_one_record(owner: Owner) -> None:
    """Readers of version 1 and 2 would go to different places."""
    good = record(owner, said(), repeat=True)
    for number, value in ((1, b"/ipfs/bafkqaaa"), (4, b"2020-01-01T00:00:00Z"), (5, 8), (6, 1), (3, 1)):
        with pytest.raises(NameRefusedError, match="two values of"):
            parse_record(owner.name, good + field(number, value))


def test_a_key_that_is_not_the_name() -> None:
    owner, other = Owner("rsa"), Owner("rsa")
    with pytest.raises(NameRefusedError, match="the public key of another name"):
        parse_record(owner.name, record(other, said(), key=other.public))
    with pytest.raises(NameRefusedError, match="no public key"):
        parse_record(owner.name, record(owner, said()))


def test_keys_that_are_too_weak_or_no_keys() -> None:
    weak = Owner("rsa", bits=1024)
    with pytest.raises(NameRefusedError, match="too short"):
        parse_record(weak.name, record(weak, said(), key=weak.public))
    good = Owner()
    for public in (
        field(1, 1) + field(2, b"x"),
        field(1, 9) + field(2, b"x" * 32),
        field(2, b""),
        b"\x08",
        b"\xff" * 9,
    ):
        name = text_of_name(bytes([0, len(public)]) + public)
        with pytest.raises(NameRefusedError, match="public key"):
            parse_record(name, record(good, said()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Validity": b"2020-01-01T00:00:00Z"}, "was valid until 2020"),
        ({"Validity": b"tomorrow"}, "which is no time"),
        ({"Validity": b"9999-99-01T00:00:00Z"}, "which is no time"),
        ({"Validity": b"\xff"}, "which is no time"),
        ({"ValidityType": 1}, "unknown kind"),
        ({"Sequence": -1}, "Sequence"),
        ({"Sequence": "7"}, "Sequence"),
        ({"TTL": None}, "TTL"),
        ({"Value": VALUE.decode()}, "Value"),
        ({"Value": b"\xff"}, "no text"),
    ],
)
def test_what_may_not_be_signed(changes: dict[str, Any], message: str, owner: Owner) -> None:
    with pytest.raises(NameRefusedError, match=message):
        parse_record(owner.name, record(owner, said(**changes)))


def test_a_record_that_is_over(owner: Owner) -> None:
    made = record(owner, said())
    end = parse_record(owner.name, made).end_of_life
    parse_record(owner.name, made, now=end - timedelta(microseconds=1))
    for now in (end, end + timedelta(days=1)):
        with pytest.raises(NameRefusedError, match="is not any more"):
            parse_record(owner.name, made, now=now)


def test_a_record_that_is_too_long(owner: Owner) -> None:
    made = record(owner, said(Value=b"/ipfs/" + b"a" * (10 << 10)))
    with pytest.raises(NameRefusedError, match="at most 10240 bytes"):
        parse_record(owner.name, made)


def test_the_data_must_be_a_map_in_dag_cbor(owner: Owner) -> None:
    for data in (b"\x80", b"\xff", dagcbor.encode(["Value"])):
        with pytest.raises(NameRefusedError, match=r"DAG-CBOR|no map"):
            parse_record(owner.name, record(owner, data))


def test_which_record_counts(owner: Owner) -> None:
    first, second = (parse_record(owner.name, record(owner, said(Sequence=number))) for number in (7, 8))
    later = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    longer = parse_record(owner.name, record(owner, said(Validity=later)))
    assert second.supersedes(first)
    assert second.supersedes(longer)
    assert longer.supersedes(first)
    assert not first.supersedes(first)


@given(data=st.binary(max_size=300), name=st.text(max_size=70))
def test_any_bytes_are_refused(data: bytes, name: str) -> None:
    owner = _OWNER
    with pytest.raises(CAStoreError):
        parse_record(owner.name, data)
    with pytest.raises(CAStoreError):
        parse_record(name, data)


_OWNER = Owner()
