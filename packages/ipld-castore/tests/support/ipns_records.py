"""Owners of IPNS names, and the records that they sign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ipld_car import cids, dagcbor, hashes, varint
from ipld_castore._network.ipns_key import text_of_name

pytest.importorskip("cryptography", reason="the extra ipns is not installed")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

VALUE = b"/ipfs/bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
KINDS = ["rsa", "ed25519", "secp256k1", "ecdsa"]


def field(number: int, value: int | bytes) -> bytes:
    """Encode a field of a protobuf message."""
    if isinstance(value, int):
        return varint.encode(number << 3) + varint.encode(value)
    return varint.encode(number << 3 | 2) + varint.encode(len(value)) + value


class Owner:
    """A key and its name."""

    def __init__(self, kind: str = "ed25519", bits: int = 2048) -> None:
        self.kind = kind
        self.key: Any
        if kind == "ed25519":
            self.key = ed25519.Ed25519PrivateKey.generate()
            public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        elif kind == "secp256k1":
            self.key = ec.generate_private_key(ec.SECP256K1())
            point = (serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
            public = self.key.public_key().public_bytes(*point)
        elif kind == "ecdsa":
            self.key = ec.generate_private_key(ec.SECP256R1())
            public = self.key.public_key().public_bytes(*DER)
        else:
            self.key = rsa.generate_private_key(65537, bits)
            public = self.key.public_key().public_bytes(*DER)
        self.public = field(1, KINDS.index(kind)) + field(2, public)
        short = len(self.public) <= 42
        digest = self.public if short else hashes.digest_of(cids.SHA2_256, self.public)
        self.multihash = bytes([0 if short else 0x12, len(digest)]) + digest
        self.name = text_of_name(self.multihash)

    def sign(self, data: bytes) -> bytes:
        if self.kind == "ed25519":
            return bytes(self.key.sign(data))
        if self.kind == "rsa":
            return bytes(self.key.sign(data, padding.PKCS1v15(), SHA256()))
        return bytes(self.key.sign(data, ec.ECDSA(SHA256())))


def said(**changes: Any) -> dict[str, Any]:
    end = datetime.now(UTC) + timedelta(days=1)
    text = end.strftime("%Y-%m-%dT%H:%M:%S.000000001Z").encode()
    data = {"Value": VALUE, "ValidityType": 0, "Validity": text, "Sequence": 7, "TTL": 10**9}
    return {name: value for name, value in {**data, **changes}.items() if value is not None}


def record(owner: Owner, data: dict[str, Any] | bytes, *, key: bytes | None = None, repeat: bool = False) -> bytes:
    """Return a record as a writer makes it."""
    encoded = data if isinstance(data, bytes) else dagcbor.encode(data)
    made = b""
    if repeat and isinstance(data, dict):
        made += field(1, data["Value"]) + field(2, b"v1") + field(3, 0) + field(4, data["Validity"])
        made += field(5, data["Sequence"]) + field(6, data["TTL"])
    if key is not None:
        made += field(7, key)
    return made + field(8, owner.sign(b"ipns-signature:" + encoded)) + field(9, encoded)
