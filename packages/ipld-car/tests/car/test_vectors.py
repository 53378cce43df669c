"""77 small archives, most of them damaged: what is read from each of them, and where the error is."""

import io
import json
from pathlib import Path
from typing import NamedTuple

import pytest
from ipld_car import (
    CarError,
    CarReader,
    HashMismatchError,
    LimitError,
    MalformedError,
    TruncatedError,
    UnverifiableError,
    cids,
)

from ..support.car_samples import Dribble, Outcome, check, outcome


class Expected(NamedTuple):
    roots: int
    blocks: int
    error: type[CarError] | None = None
    offset: int | None = None
    unverified: int | None = None
    """Blocks with verify=False, where these are more and there is no error then."""


Cut, Bad, Hash, Limit = TruncatedError, MalformedError, HashMismatchError, LimitError


# By name; a comment says where go-car decides otherwise.
VECTORS = {
    "IdentityCID-no-block-bytes": Expected(1, 0, Hash, 48, 1),
    "BadCidV0": Expected(0, 0, Bad, 9),  # go-car takes tag 48 for a link, and stops at the section
    "BadHeaderLength": Expected(0, 0, Limit, 0),
    "BadSectionLength": Expected(0, 0, Limit, 18),
    "BadSectionLength2": Expected(0, 0, Bad, 9),  # tag 48 again
    "BadSectionLength3": Expected(0, 0, Bad, 8),  # roots are null; go-car stops at the section
    "BadBlockHash": Expected(0, 0, Hash, 18, 1),
    "GoodBlock-zero-roots": Expected(0, 1),
    "CARv2-GoodIndex": Expected(0, 1),
    "CARv2-BadIndexCountOverflow": Expected(0, 1),  # the payload is good; the index is not read
    "CARv2-BadIndexCountTooMany": Expected(0, 1),
    "CARv2-BadIndexMultiWidthOverflow": Expected(0, 1),
    "CARv2-BadIndexMultiWidthTooMany": Expected(0, 1),
    "hdr-{version:2}-only": Expected(0, 0, Cut, 11),
    "hdr-{roots:[cid]}-no-version": Expected(0, 0, Bad, 1),
    "hdr-version-string": Expected(0, 0, Bad, 28),
    "hdr-{version:1}-no-roots": Expected(0, 0, Bad, 1),  # go-car: by default an error, too
    "hdr-roots-is-map": Expected(0, 0, Bad, 8),
    "hdr-extra-key": Expected(1, 0),  # go-car refuses it; the DASL specification allows it
    "hdr-is-array": Expected(0, 0, Bad, 1),
    "hdr-is-null": Expected(0, 0, Bad, 1),
    "hdr-good-identity-root": Expected(1, 0),
    "eof-clean": Expected(1, 1),
    "eof-bad-varint": Expected(1, 1, Cut, 104),
    "eof-truncated-block": Expected(1, 1, Cut, 104),
    "hdr-5-same-roots": Expected(5, 0),
    "js-hdr-version-3": Expected(0, 0, Bad, 0),
    "js-recursive-v2-header": Expected(0, 0, Bad, 51),
    "fuzz-FuzzCarReader-21a90a70": Expected(0, 0, Limit, 0),
    "fuzz-FuzzCarReader-5857e57e": Expected(0, 0, Bad, 9),
    "fuzz-FuzzBlockReader-c3c7eede": Expected(0, 0, Limit, 0),
    "fuzz-FuzzReader-c640dd07": Expected(0, 0, Bad, 11),
    "fuzz-FuzzReader-e1d7f87e": Expected(0, 0, Bad, 11),
    "fuzz-FuzzReader-fe93cec1": Expected(1, 0, Hash, 110, 3),
    "syn-good-2-blocks": Expected(1, 2),
    "syn-duplicate-block": Expected(1, 3),
    "syn-same-multihash-two-codecs": Expected(1, 2),
    "syn-zero-length-block-data": Expected(1, 1),
    "syn-cidv0-empty-dagpb": Expected(1, 1),
    "syn-empty-car-empty-roots": Expected(0, 0),
    "syn-empty-file": Expected(0, 0, Cut, 0),
    "syn-header-len-0": Expected(0, 0, Bad, 0),
    "syn-null-padded": Expected(1, 2, Bad, 143),
    "syn-null-then-section": Expected(1, 2, Bad, 143),
    "syn-trunc-mid-varint": Expected(1, 2, Cut, 143),
    "syn-trunc-mid-cid": Expected(1, 2, Cut, 143),
    "syn-trunc-mid-data": Expected(1, 1, Cut, 101),
    "syn-trunc-at-boundary": Expected(1, 1),
    "syn-section-shorter-than-cid": Expected(1, 0, Bad, 59),
    "syn-nonminimal-section-varint": Expected(1, 0, Bad, 59),
    "syn-varint-10-bytes": Expected(1, 0, Bad, 59),
    "syn-huge-len-2e62": Expected(1, 0, Limit, 59),
    "syn-huge-header-2e62": Expected(0, 0, Limit, 0),
    "syn-bad-hash": Expected(1, 0, Hash, 59, 1),
    "syn-identity-block": Expected(1, 1),
    "syn-identity-block-mismatch": Expected(1, 0, Hash, 31, 1),
    "syn-unknown-multihash": Expected(1, 0, UnverifiableError, 59, 1),
    "syn-truncated-digest-sha256-16": Expected(1, 1),
    "syn-root-not-present": Expected(1, 1),
    "syn-nulroot-bafkqaaa": Expected(1, 1),
    "syn-hdr-wrong-key-order": Expected(1, 1),
    "syn-hdr-nonminimal-int": Expected(1, 1),
    "syn-hdr-indefinite-map": Expected(0, 0, Bad, 1),
    "syn-hdr-trailing-byte": Expected(0, 0, Bad, 59),
    "syn-hdr-deep-nesting-2000": Expected(0, 0, Bad, 10),
    "syn-hdr-huge-array-claim": Expected(0, 0, Cut, 8),
    "syn-hdr-root-is-string": Expected(0, 0, Bad, 9),
    "syn-cidv1-version-2": Expected(1, 0, Bad, 59),
    "syn-cidv0-bad-mh-len": Expected(1, 0, Bad, 59),
    "syn-gateway-truncation-marker": Expected(1, 2, Cut, 143),
    "syn-v2-noindex": Expected(1, 2),
    "syn-v2-padded-noindex-trailing-junk": Expected(1, 2),
    "syn-v2-datasize-0-unfinalized": Expected(0, 0, Cut, 11),
    "syn-v2-data-offset-too-small": Expected(0, 0, Bad, 11),
    "syn-v2-data-beyond-eof": Expected(1, 2, Cut, 194),
    "syn-v2-index-offset-inside-data": Expected(0, 0, Bad, 11),
    "syn-v2-fully-indexed-bit": Expected(1, 2),
}


@pytest.fixture(scope="session")
def vectors(fixtures: Path) -> dict[str, bytes]:
    listed = json.loads((fixtures / "hex-vectors.json").read_text())
    return {vector["name"]: bytes.fromhex(vector["hex"]) for vector in listed}


def shape(found: Outcome) -> Expected:
    error, offset = (found.error[0], found.error[2]) if found.error else (None, None)
    return Expected(len(found.roots), len(found.blocks), error, offset)


def test_the_table_has_every_vector(vectors: dict[str, bytes]) -> None:
    assert set(vectors) == set(VECTORS)
    assert len(vectors) == 77


@pytest.mark.parametrize("name", VECTORS)
def test_vector(vectors: dict[str, bytes], name: str) -> None:
    data, expected = vectors[name], VECTORS[name]
    found = outcome(data)
    check(found, data)
    assert shape(found) == expected._replace(unverified=None)
    assert outcome(io.BytesIO(data)) == found
    assert outcome(Dribble(data, 3)) == found
    unverified = outcome(data, verify=False)
    if expected.unverified is None:
        assert unverified == found
    else:
        assert shape(unverified) == Expected(expected.roots, expected.unverified)


def test_vectors_in_detail(vectors: dict[str, bytes]) -> None:
    def error(name: str) -> str:
        found = outcome(vectors[name])
        assert found.error
        return found.error[1]

    assert error("syn-gateway-truncation-marker").startswith("truncated response")
    assert "writer stopped" in error("syn-v2-datasize-0-unfinalized")
    assert "100 more bytes of payload" in error("syn-v2-data-beyond-eof")
    for name in ("syn-null-padded", "syn-null-then-section"):
        assert shape(outcome(vectors[name], zero_length_section_as_eof=True)) == Expected(1, 2)
    assert shape(outcome(vectors["hdr-5-same-roots"], max_header_bytes=221)) == Expected(0, 0, LimitError, 0)
    header = CarReader(vectors["syn-v2-fully-indexed-bit"]).v2_header
    assert header
    assert header.fully_indexed
    names = [block[0] for block in outcome(vectors["syn-same-multihash-two-codecs"]).blocks]
    assert len(set(names)) == 2
    assert len({cids.multihash_of(name) for name in names}) == 1
