"""Archives of go-car, js-car, iroh-car, ipfs-car and the specification give what MANIFEST.md says."""

import ast
import base64
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ipld_car import (
    CarError,
    CarReader,
    CarWriter,
    HashMismatchError,
    LimitError,
    MalformedError,
    TruncatedError,
    UnverifiableError,
    binary_links,
    cids,
    dagcbor,
    dagpb,
    verify_block,
    walk_binary,
)

from ..support.car_samples import Dribble, Outcome, check, outcome

# -- the table of the MANIFEST ---------------------------------------------------------------------

# The column "result" for an archive that can be read, all of it or up to some block.
RESULT = re.compile(
    r"(?P<name>\S+\.car) \| (?P<size>\d+) \| v(?P<version>\d), roots (?P<roots>\d+), blocks (?P<blocks>\d+), "
    r"codecs (?P<codecs>\{.*?\}), mh (?P<hashes>\{.*?\}), cid versions (?P<versions>\{.*?\}), "
    r"roots present (?P<present>\w+), bad hashes 0(?:, index 0x\w+ entries \d+ good \d+)?"
    r"(?:, stops: [^|]*?)?(?:, root\(s\) (?P<cids>[^|]*))? \|"
)

# For a damaged archive: the error, its offset, its block, and a word of its message.
ERRORS: dict[str, tuple[type[CarError], int, int | None, str]] = {
    "badheaderlength.car": (LimitError, 0, None, "216830324832"),
    "badsectionlength.car": (LimitError, 18, 0, "216830324832"),
    "sample-corrupt-pragma.car": (TruncatedError, 1, None, "18 bytes, found 15"),
    "sample-rootless-v42.car": (MalformedError, 0, None, "version 42"),
    "sample-v1-tailing-corrupt-section.car": (TruncatedError, 479518, 1048, "387 bytes, found 374"),
    "sample-v1-with-zero-len-section.car": (MalformedError, 479907, 1049, "length zero"),
    "sample-v1-with-zero-len-section2.car": (MalformedError, 20819, 20, "length zero"),
    "sample-v2-corrupt-data-and-index.car": (MalformedError, 11, None, "data at 18446744073709550254"),
}


def archives(fixtures: Path) -> dict[str, bytes]:
    """The archives that have a line of their own in the manifest; those for gateways share one."""
    manifest, _, _ = (fixtures / "MANIFEST.md").read_text().partition("## gateway-conformance")
    told = re.findall(r"^\| (\S+\.car) \|", manifest, re.MULTILINE)
    paths = [path for path in sorted(fixtures.rglob("*.car")) if "gateway-conformance" not in path.parts]
    assert sorted(path.name for path in paths) == sorted(told)
    return {path.name: path.read_bytes() for path in paths}


def test_the_manifest_lists_every_archive(fixtures: Path) -> None:
    assert len(archives(fixtures)) >= 26


def test_every_archive_reads_as_the_manifest_says(fixtures: Path) -> None:
    results = {found["name"]: found for found in RESULT.finditer((fixtures / "MANIFEST.md").read_text())}
    for name, data in archives(fixtures).items():
        found = outcome(data)
        check(found, data)
        if name in ERRORS:
            kind, offset, block, words = ERRORS[name]
            assert found.error
            assert (found.error[0], *found.error[2:]) == (kind, offset, block), name
            assert words in found.error[1]
        else:
            assert found.error is None, name
        if found.version is None:
            assert name not in results
            continue
        said = results.pop(name)
        forms = [cids.prefix_of(block[0]) for block in found.blocks]
        assert len(data) == int(said["size"])
        assert (found.version, len(found.roots), len(found.blocks)) == tuple(
            int(said[key]) for key in ("version", "roots", "blocks")
        ), name
        assert Counter(hex(form.codec) for form in forms) == ast.literal_eval(said["codecs"])
        assert Counter(hex(form.hash_code) for form in forms) == ast.literal_eval(said["hashes"])
        assert Counter(form.version for form in forms) == ast.literal_eval(said["versions"])
        assert str({block[0] for block in found.blocks} >= set(found.roots)) == said["present"]
        assert [cids.to_text(root) for root in found.roots] == (said["cids"] or "").split()
    assert not results


def test_every_archive_reads_the_same_as_a_stream(fixtures: Path) -> None:
    for data in archives(fixtures).values():
        assert outcome(io.BytesIO(data)) == outcome(data)
        assert outcome(Dribble(data, 4099)) == outcome(data)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("sample-v1-with-zero-len-section.car", "sample-v1.car"),
        ("sample-v1-with-zero-len-section2.car", None),
    ],
)
def test_zero_length_sections_as_the_end(fixtures: Path, name: str, like: str | None) -> None:
    data = (fixtures / "go-car-v2" / name).read_bytes()
    found = outcome(data, zero_length_section_as_eof=True)
    assert found == outcome(data)._replace(error=None)
    if like:
        assert found == outcome((fixtures / "go-car-v2" / like).read_bytes())


def test_one_payload_as_carv1_and_in_two_carv2(fixtures: Path) -> None:
    folder = fixtures / "go-car-v2"
    v1, plain, wrapped = (
        outcome((folder / name).read_bytes())
        for name in ("sample-v1.car", "sample-v2-indexless.car", "sample-wrapped-v2.car")
    )
    assert v1.roots == plain.roots == wrapped.roots
    for v2 in (plain, wrapped):
        assert [block[:2] for block in v2.blocks] == [block[:2] for block in v1.blocks]
        assert [block[2].offset - 51 for block in v2.blocks] == [block[2].offset for block in v1.blocks]
    noidentity = outcome((folder / "sample-v1-noidentity.car").read_bytes())
    kept = [block[:2] for block in v1.blocks if cids.prefix_of(block[0]).hash_code != cids.IDENTITY]
    assert [block[:2] for block in noidentity.blocks] == kept


def test_a_block_is_read_by_its_location(fixtures: Path) -> None:
    """The byte range of the file is what `car get-block` prints."""
    (path,) = fixtures.glob("go-car-cmd/*.block")
    name = cids.to_bytes(path.stem)
    with (fixtures / "go-car-v2/sample-v1.car").open("rb") as file:
        (location,) = [block.location for block in CarReader(file) if block.cid_bytes == name]
        file.seek(location.payload_offset)
        data = file.read(location.payload_size)
    assert data == path.read_bytes()
    verify_block(path.stem, data)


def test_offsets_equal_those_of_the_index(fixtures: Path) -> None:
    """The detached index of sample-v1.car, written by go-car, has digests and the offsets of their sections."""
    data = (fixtures / "go-car-v2/sample-index.carindex").read_bytes()
    assert data[:2] == b"\x80\x08"
    entries: set[tuple[bytes, int]] = set()
    position = 6
    for _ in range(int.from_bytes(data[2:6], "little")):
        width = int.from_bytes(data[position : position + 4], "little")
        size = int.from_bytes(data[position + 4 : position + 12], "little")
        position += 12
        for start in range(position, position + size, width):
            entry = data[start : start + width]
            entries.add((entry[:-8], int.from_bytes(entry[-8:], "little")))
        position += size
    assert position == len(data)
    found = outcome((fixtures / "go-car-v2/sample-v1.car").read_bytes())
    assert {(name[cids.prefix_of(name).size :], at.offset) for name, _, at in found.blocks} == entries
    assert len(entries) == 1049


@pytest.mark.parametrize(
    "name",
    ["iroh-car/testv1.car", "go-car-v2/sample-v1.car", "ipld-spec/carv1-basic.car", "ipfs-car/comic-no-roots.car"],
)
def test_an_archive_that_is_written_again_has_the_same_bytes(fixtures: Path, name: str) -> None:
    data = (fixtures / name).read_bytes()
    reader = CarReader(data)
    stream = io.BytesIO()
    with CarWriter(stream, reader.roots) as writer:
        for block in reader:
            assert writer.write(block.cid, block.data) == block.location
    assert stream.getvalue() == data


# -- contents, described in DAG-JSON ---------------------------------------------------------------


def dag_json(value: Any) -> Any:
    """Convert a decoded block to its DAG-JSON form."""
    if isinstance(value, dict):
        return {key: dag_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [dag_json(item) for item in value]
    if isinstance(value, bytes):
        return {"/": {"bytes": base64.b64encode(value).decode().rstrip("=")}}
    return value if value is None or isinstance(value, (bool, int, float, str)) else {"/": str(value)}


def content(name: bytes, data: bytes) -> Any:
    codec = cids.codec_of(name)
    if codec == cids.DAG_CBOR:
        return dag_json(dagcbor.decode(data))
    if codec == cids.RAW:
        return dag_json(data)
    node = dagpb.decode(data)
    assert dagpb.encode(node.links, node.data) == data
    links = [{"Hash": {"/": cids.to_text(link.cid)}, "Name": link.name, "Tsize": link.size} for link in node.links]
    return {"Links": links} if node.data is None else {"Data": dag_json(node.data), "Links": links}


@pytest.mark.parametrize("name", ["carv1-basic", "carv2-basic"])
def test_the_archives_of_the_specification(fixtures: Path, name: str) -> None:
    data = (fixtures / f"ipld-spec/{name}.car").read_bytes()
    said = json.loads((fixtures / f"ipld-spec/{name}.json").read_text())
    reader = CarReader(data)
    assert reader.version == said["header"]["version"]
    assert [{"/": str(root)} for root in reader.roots] == said["header"]["roots"]
    if reader.version == 2:
        keys = ("dataOffset", "dataSize", "indexOffset")
        assert reader.v2_header == (False, *(said["header"][key] for key in keys))
    found = [
        {
            "blockLength": block.location.payload_size,
            "blockOffset": block.location.payload_offset,
            "cid": {"/": str(block.cid)},
            "content": content(block.cid_bytes, block.data),
            "length": block.location.size,
            "offset": block.location.offset,
        }
        for block in reader
    ]
    assert found == said["blocks"]


def test_a_walk_gives_the_blocks_of_an_archive(fixtures: Path) -> None:
    """A complete archive of go-car holds the blocks that its root reaches, depth first."""
    for name in ("ipld-spec/hamt.car", "go-car-cmd/simple-unixfs.car"):
        found = outcome((fixtures / name).read_bytes())
        blocks = {block[0]: block[1] for block in found.blocks}
        (root,) = found.roots
        assert set(dict(walk_binary(blocks.__getitem__, root))) == set(blocks), name
    found = outcome((fixtures / "go-car-cmd/simple-unixfs-missing-blocks.car").read_bytes())
    blocks = {block[0]: block[1] for block in found.blocks}
    with pytest.raises(KeyError):
        list(walk_binary(blocks.__getitem__, found.roots[0]))


def test_links_of_blocks_that_are_not_strict(fixtures: Path) -> None:
    """Filecoin writes text that is not UTF-8; the links of its blocks are found."""
    found = outcome((fixtures / "go-car-v2/sample-v1.car").read_bytes())
    blocks = {block[0]: block[1] for block in found.blocks}
    strict = 0
    reached = set(found.roots)
    for name, data in blocks.items():
        reached.update(binary_links(name, data))
        if cids.codec_of(name) == cids.DAG_CBOR:
            try:
                dagcbor.decode(data)
                strict += 1
            except MalformedError:
                assert dagcbor.links(data) == dagcbor.scan(data)
    assert 0 < strict < len(blocks)
    assert set(blocks) <= reached


# -- 77 small archives -----------------------------------------------------------------------------


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
