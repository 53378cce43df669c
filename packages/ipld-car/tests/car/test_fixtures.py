"""Archives of go-car, js-car, iroh-car, ipfs-car and the specification give what MANIFEST.md says."""

import ast
import base64
import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ipld_car import (
    CarError,
    CarReader,
    CarWriter,
    LimitError,
    MalformedError,
    TruncatedError,
    binary_links,
    cids,
    dagcbor,
    dagpb,
    verify_block,
    walk_binary,
)

from ..support.car_samples import Dribble, check, outcome

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
