"""``ipld-car verify``: every way in which an archive can be bad is told, with its place."""

import hashlib
import io
import struct
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, IndexWriter, cids, dagcbor
from ipld_car.ops import Report, check_blocks, verify
from ipld_car.terminal.testing import Run

from ..support.car_samples import MIXED, SMALL_V1, car_v1, car_v2, cid, outcome, section
from ..support.cli_samples import Tree, text


def report(archive: bytes | Path) -> tuple[Report, list[check_blocks.Verdict]]:
    verdicts: list[check_blocks.Verdict] = []
    found = verify(archive, on_verdict=verdicts.append, every=True)
    return found, verdicts


# What the last line says of each archive, and the exit code.
FIXTURES = {
    "comic.car": (0, "CARv1, 3 blocks, 0 bad, 1 root, complete"),
    "comic-no-roots.car": (0, "CARv1, 3 blocks, 0 bad, no roots, complete"),
    "missing-root-block.car": (1, "CARv1, 0 blocks, 0 bad, 1 root, incomplete, 1 missing"),
    "multi-root.car": (1, "CARv1, 1 block, 0 bad, 2 roots, incomplete, 1 missing"),
    "simple-unixfs.car": (0, "CARv1, 22 blocks, 0 bad, 1 root, complete"),
    "simple-unixfs-missing-blocks.car": (1, "CARv1, 17 blocks, 0 bad, 1 root, incomplete, 3 missing"),
    "wikipedia-cryptographic-hash-function.car": (1, "CARv1, 5 blocks, 0 bad, 1 root, incomplete, 680 missing"),
    "carv1-basic.car": (0, "CARv1, 8 blocks, 0 bad, 2 roots, complete"),
    "carv2-basic.car": (1, "CARv2, 5 blocks, 0 bad, 1 root, complete, index unreadable"),
    "selector-fixtures-adl.car": (0, "CARv2, 5 blocks, 0 bad, 1 root, complete, index good"),
    "hamt.car": (0, "CARv1, 36 blocks, 0 bad, 1 root, complete"),
    "sample-v1.car": (0, "CARv1, 1049 blocks, 0 bad, 1 root, complete"),
    "sample-wrapped-v2.car": (0, "CARv2, 1049 blocks, 0 bad, 1 root, complete, index good"),
    "sample-v2-indexless.car": (0, "CARv2, 1049 blocks, 0 bad, 1 root, complete, no index"),
    "sample-rw-bs-v2.car": (0, "CARv2, 3 blocks, 0 bad, 3 roots, complete, index good"),
    "sample-v1-tailing-corrupt-section.car": (1, "CARv1, 1048 blocks, 0 bad, 1 root, cut off"),
    "sample-v1-with-zero-len-section.car": (1, "CARv1, 1049 blocks, 0 bad, 1 root, unreadable from offset 479907"),
    "badsectionlength.car": (1, "CARv1, 0 blocks, 0 bad, no roots, unreadable from offset 18"),
    "badheaderlength.car": (1, "no archive"),
    "sample-corrupt-pragma.car": (1, "no archive"),
    "sample-rootless-v42.car": (1, "no archive"),
    "sample-v2-corrupt-data-and-index.car": (1, "no archive"),
}


def test_archives_of_other_programs(ipld_car: Run, fixtures: Path) -> None:
    """As a process, one for each tenth; all in this one."""
    from ipld_car._cli.render.verify import render_report

    for number, (name, (code, words)) in enumerate(FIXTURES.items()):
        (path,) = fixtures.rglob(name)
        found, _ = report(path)
        assert found.is_good(partial=False) is not code, name
        *_, last = render_report(found, as_json=False, partial=False)
        assert str(last).startswith(f"{'BAD' if code else 'good'}: {words}"), name
        if number % 5 == 0:
            assert ipld_car("verify", path, code=code).lines[-1] == last


def test_advice_is_in_the_words_of_the_command() -> None:
    from ipld_car._cli.render.verify import render_report

    found, _ = report(SMALL_V1 + bytes(100))
    for as_json in (False, True):
        told = str(list(render_report(found, as_json=as_json, partial=False)))
        assert "--zero-length-section-as-eof reads" in told
        assert "zero_length" not in told


def test_partial_archives_are_good_where_they_may_be(ipld_car: Run, fixtures: Path) -> None:
    path = fixtures / "go-car-cmd/simple-unixfs-missing-blocks.car"
    assert [line.split()[0] for line in ipld_car("verify", path, code=1).lines] == ["missing"] * 3 + ["BAD:"]
    assert ipld_car("verify", "--partial", path).lines[-1].startswith("good: ")
    assert "missing" in ipld_car("verify", "--partial", fixtures / "ipfs-car/missing-root-block.car", code=1).text


def test_a_verdict_on_every_block(ipld_car: Run) -> None:
    """Damage to a block is no end: all others get their verdicts, with their places."""
    unknown = bytes([1, 0x55, 0x80, 0xE4, 0x03, 2]) + b"xx"
    no_cbor = section(b"\xff\xff", cid(b"\xff\xff", "dag-cbor"))
    blocks = [section(b"one"), section(b"two"), section(b"three", unknown), no_cbor, section(b"five")]
    blocks[1] = blocks[1].replace(b"two", b"owt")
    archive = car_v1(*blocks)
    lines = ipld_car("verify", "--json", stdin=archive, code=1).json
    verdicts = [line["verdict"] for line in lines if line["type"] == "block"]
    assert verdicts == ["ok", "mismatch", "unverifiable", "undecodable", "ok"]
    for line, block in zip(lines, blocks, strict=False):
        assert archive[line["offset"] :].startswith(block)
        assert block.endswith(archive[line["offset"] + len(block) - line["size"] :][: line["size"]])
    assert lines[1]["cid"] == text(cid(b"two"))
    assert "expected bytes with the hash of" in lines[1]["detail"]
    assert {**lines[-1], "roots": None} == {
        "type": "summary",
        "good": False,
        "version": 1,
        "roots": None,
        "blocks": 5,
        "duplicates": 0,
        "bad": 3,
        "missing": 0,
        "not_followed": {},
        "index_entries": None,
        "index_faults": 0,
    }
    shown = ipld_car("verify", stdin=archive, code=1).lines
    assert [line.split()[0] for line in shown] == ["mismatch", "unverifiable", "undecodable", "BAD:"]
    assert len(ipld_car("verify", "-v", stdin=archive, code=1).lines) == 6


def test_links_are_followed_whatever_names_their_block() -> None:
    """By multihash: another codec, CIDv0, or a CID that holds its bytes itself."""
    tree = Tree()
    file = tree.file(b"hello")
    folder = tree.folder(file)
    as_v0 = folder.cid[2:]
    node = dagcbor.encode_node([as_v0, cid(b"hello", "dag-cbor"), cid(b"inline", "raw", "identity")])
    tree.blocks[cid(node, "dag-cbor")] = node
    assert report(tree.car(folder))[0].is_good(partial=False)
    without = report(tree.car(folder, without=(file.cid,)))[0]
    assert list(map(bytes, without.missing)) == sorted([file.cid, cid(b"hello", "dag-cbor")])
    assert not without.is_good(partial=False)
    assert without.is_good(partial=True)


def test_links_that_nobody_knows_are_no_proof_of_completeness(ipld_car: Run, tmp_path: Path) -> None:
    """What blocks of other codecs link may be missing, so it is said that they were not followed; good is good."""
    digest = hashlib.sha256(b"{}").digest()
    first, second = (section(b"{}", cids.make(code, digest)) for code in (0x85, 0x300000))
    archive = car_v1(first, second, first, section(b"hello"), roots=[cid(b"hello")])
    shown = ipld_car("verify", stdin=archive).lines
    assert shown == [
        "not followed 3 blocks of a codec whose links are not known here: 2 dag-jose, 1 0x300000",
        "good: CARv1, 4 blocks, 1 duplicate, 0 bad, 1 root, complete but for the links of 3 blocks",
    ]
    assert ipld_car("verify", "--json", stdin=archive).json[-1]["not_followed"] == {"dag-jose": 2, "0x300000": 1}
    lacking = car_v1(second, roots=[cid(b"hello")])
    assert "incomplete, 1 missing, the links of 1 block not known" in ipld_car("verify", stdin=lacking, code=1).text
    jose = text(cid(b"{}", "dag-jose"))
    told = ipld_car("get-dag", "--strict", "-", jose, tmp_path / "out.car", stdin=archive).err
    assert told.splitlines() == ["not followed: 1 block of a codec whose links are not known here: 1 dag-jose"]
    many = car_v1(*(section(b"{}", cids.make(code, digest)) for code in range(0x300000, 0x300009)))
    assert "1 0x300004, others" in ipld_car("verify", stdin=many).lines[0]


def test_duplicates_are_counted() -> None:
    found, verdicts = report(car_v1(*MIXED, *MIXED))
    assert (found.blocks, found.distinct) == (12, 6)
    assert Counter(verdict.verdict for verdict in verdicts) == {"ok": 12}


# -- the index ---------------------------------------------------------------------------------------


def indexed(change: bytes = b"", to: bytes = b"", *, leave_out: int | None = None, codec: int = 0x401) -> bytes:
    """SMALL_V1 as a CARv2, with bytes of its index replaced."""
    writer, stream = IndexWriter(codec), io.BytesIO()
    for number, (name, _, location) in enumerate(outcome(SMALL_V1).blocks):
        if number != leave_out:
            writer.add(name, location.offset)
    writer.write(stream)
    index = stream.getvalue()
    assert not change or index.count(change) == 1
    return car_v2(SMALL_V1, index=index.replace(change, to) if change else index, padding=bytes(9))


def test_a_good_index() -> None:
    for codec in (0x400, 0x401):
        found, _ = report(indexed(codec=codec))
        assert found.is_good(partial=False), found.index_details
        assert found.index_entries == 5  # not the identity


def faults_of(archive: bytes) -> list[str]:
    found, _ = report(archive)
    assert not found.is_good(partial=False)
    assert found.index_faults == len(found.index_details)
    return found.index_details


def test_an_index_that_lies() -> None:
    first, last = outcome(SMALL_V1).blocks[0], outcome(SMALL_V1).blocks[-1]
    digest, offset = first[0][4:], struct.pack("<Q", first[2].offset)
    elsewhere = struct.pack("<Q", last[2].offset)
    (fault,) = faults_of(indexed(leave_out=0))
    assert fault == f"no entry for the block of digest {digest.hex()}"
    for place in (elsewhere, struct.pack("<Q", 1 << 62), struct.pack("<Q", 0), struct.pack("<Q", first[2].offset + 1)):
        (fault,) = faults_of(indexed(digest + offset, digest + place))
        assert f"entry {digest.hex()} points to" in fault
    other = b"\xff" * 32
    told = faults_of(indexed(digest + offset, other + offset))
    assert any(f"entry {other.hex()} points to" in fault for fault in told)
    assert any(f"no entry for the block of digest {digest.hex()}" in fault for fault in told)
    assert any("follows a larger one" in fault for fault in told)


def test_an_index_that_cannot_be_read() -> None:
    (fault,) = faults_of(car_v2(SMALL_V1, index=b"\x81\x08\xff\xff\xff\x7f"))
    assert "expected a count of buckets" in fault


# -- the same as the reader says -----------------------------------------------------------------------


@given(st.data())
def test_damage_anywhere_is_told_as_the_reader_tells_it(data: st.DataObject) -> None:
    """Up to the first bad block both go the same way; the reader stops there."""
    damaged = bytearray(SMALL_V1)
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    archive = bytes(damaged[: data.draw(st.sampled_from([None, None, *range(len(damaged))]))])
    read = outcome(archive)
    found, verdicts = report(archive)
    good = 0
    for verdict in verdicts:
        if verdict.verdict not in (check_blocks.OK, check_blocks.UNDECODABLE):
            break
        good += 1
    assert len(read.blocks) == good
    assert [verdict.cid_bytes for verdict in verdicts[:good]] == [name for name, _, _ in read.blocks]
    for verdict, (_, payload, location) in zip(verdicts, read.blocks, strict=False):
        assert (verdict.offset, verdict.size) == (location.offset, len(payload))
    if read.error is None:
        assert found.error is None
    elif found.error is not None and good == len(verdicts):
        assert read.error == (type(found.error), found.error.message, found.error.offset, found.error.block)
    assert found.bad == sum(verdict.verdict != check_blocks.OK for verdict in verdicts)


def test_an_archive_that_ends_in_a_length() -> None:
    """The message is that of the reader."""
    archive = SMALL_V1 + b"\x80"
    found, verdicts = report(archive)
    read = outcome(archive)
    assert len(read.blocks) == len(verdicts)
    assert found.error is not None
    assert read.error == (type(found.error), found.error.message, found.error.offset, found.error.block)


def test_sections_over_the_limit_and_cids_cut_short() -> None:
    for junk, words in (
        (b"\x05\x01\x55\x12\x20\x00", "whole CID"),
        (b"\x81\x80\x80\x04", "at most 8388608"),
        (b"\x02\x02\x00", "version"),
        (b"\x80", "the length of a section, found its first 1 bytes"),
        (b"\xff" * 10, "varint"),
    ):
        found, verdicts = report(car_v1(section(b"good")) + junk)
        assert isinstance(found.error, CarError)
        assert words in found.error.message
        assert (len(verdicts), found.error.block) == (1, 1)
