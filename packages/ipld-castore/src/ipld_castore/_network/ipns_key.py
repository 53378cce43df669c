"""IPNS names and the public keys behind them: https://specs.ipfs.tech/ipns/ipns-record/.

A name is the multihash of a public key: for a short key, as Ed25519 has, the key itself, else its sha2-256.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ipld_car import CarError, cids, dagpb, hashes

from ipld_castore.errors import NameRefusedError

LIBP2P_KEY: Final = 0x72
"""The codec of the CID that a name is."""

_RSA, _ED25519, _SECP256K1, _ECDSA = range(4)
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_MAX_KEY_BYTES: Final = 4096


def multihash_of_name(name: str) -> bytes | None:
    """Return the multihash that an IPNS name is, in any of its forms; None if the text is none, as a domain is.

    :param name: a CIDv1 such as ``k51...`` (base36) or ``bafz...`` (base32), or a peer ID such as ``12D3Koo...``

    >>> multihash_of_name("k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8").hex()[:8]
    '00240801'
    >>> multihash_of_name("example.org")
    """
    try:
        if name.startswith(("12D3Koo", "16Uiu2HA", "Qm", "1")):
            return cids.multihash_of(_peer_id(name))
        binary = cids.to_bytes(name)
    except CarError:
        return None
    return cids.multihash_of(binary) if cids.codec_of(binary) in (LIBP2P_KEY, cids.DAG_PB) else None


def _peer_id(name: str) -> bytes:
    """Return the binary CID of a peer ID, the base58btc text of a multihash."""
    if name.startswith("Qm"):
        return cids.to_bytes(name)
    return cids.to_bytes(b"\x01" + bytes([LIBP2P_KEY]) + _base58(name))


def _base58(text: str) -> bytes:
    from multiformats import multibase

    try:
        return multibase.decode("z" + text)
    except (ValueError, KeyError) as error:
        raise CarError(f"expected a text in base58btc, found {text[:100]!r}") from error


def text_of_name(multihash: bytes) -> str:
    """Return the text of an IPNS name, as a gateway takes it: a CIDv1 in base36."""
    from multiformats import multibase

    return multibase.encode(b"\x01" + bytes([LIBP2P_KEY]) + multihash, "base36")


def verifier_of(multihash: bytes, given: bytes | None, what: str) -> Callable[[bytes, bytes], None]:
    """Return what checks the signatures of the key that an IPNS name is of.

    :param multihash: the name
    :param given: the public key that a record carries, in protobuf; None if it carries none
    :param what: the name as text, for errors
    :returns: a function of signature and signed bytes, which raises :class:`NameRefusedError`
    :raises NameRefusedError: if there is no public key of the name, or of no known kind
    :raises ImportError: if ``cryptography`` is not installed
    """
    identity = b"\x00" + bytes([len(multihash) - 2])
    if multihash[:2] == identity:
        key = multihash[2:]
    elif given is None:
        raise NameRefusedError(f"the record of {what} has no public key, and the name holds only its hash")
    elif len(given) > _MAX_KEY_BYTES or multihash != b"\x12\x20" + hashes.digest_of(cids.SHA2_256, given):
        raise NameRefusedError(f"the record of {what} has the public key of another name")
    else:
        key = given
    kind, data = _parse_key(key, what)
    return _verifier(kind, data, what)


def _parse_key(key: bytes, what: str) -> tuple[int, bytes]:
    """Return kind and bytes of a public key in protobuf: https://github.com/libp2p/specs/blob/master/peer-ids/."""
    try:
        found = {number: value for number, _, value in dagpb.fields(key)}
    except CarError as error:
        raise NameRefusedError(f"the public key of {what} is malformed: {error}") from error
    kind, data = found.get(1, _RSA), found.get(2)
    if not isinstance(kind, int) or not isinstance(data, bytes):
        raise NameRefusedError(f"the public key of {what} is malformed: expected a kind and bytes")
    return kind, data


def _verifier(kind: int, data: bytes, what: str) -> Callable[[bytes, bytes], None]:
    try:
        from cryptography.exceptions import InvalidSignature
    except ImportError as error:
        raise ImportError(
            f'expected the package cryptography to check the record of {what}: pip install "ipld-castore[ipns]"'
        ) from error
    verify = _loaded_key(kind, data, what)

    def check(signature: bytes, signed: bytes) -> None:
        try:
            verify(signature, signed)
        except InvalidSignature:
            raise NameRefusedError(f"the record of {what} has a wrong signature") from None

    return check


def _loaded_key(kind: int, data: bytes, what: str) -> Callable[[bytes, bytes], None]:
    """Return the function that checks a signature, of the library."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key: Any
        if kind == _ED25519:
            return ed25519.Ed25519PublicKey.from_public_bytes(data).verify
        if kind == _SECP256K1:
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), data)
            return lambda signature, signed: key.verify(signature, signed, ec.ECDSA(SHA256()))
        if kind in (_RSA, _ECDSA):
            key = serialization.load_der_public_key(data)
            if kind == _ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
                return lambda signature, signed: key.verify(signature, signed, ec.ECDSA(SHA256()))
            if kind == _RSA and isinstance(key, rsa.RSAPublicKey) and _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
                return lambda signature, signed: key.verify(signature, signed, padding.PKCS1v15(), SHA256())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NameRefusedError(f"the public key of {what} cannot be read: {error}") from error
    raise NameRefusedError(f"the public key of {what} is of no kind that is known: {kind}, or too short or too long")
