"""go-car reads and continues our files with their indexes, and we read and continue its files."""

from pathlib import Path

from ipld_car import CarFile, CarIndex, CarReader, CarWriter, cids

from ..support.car_samples import SMALL_V1, car_v1, car_v2, cid, outcome, section
from ..support.go_peer import Peer

Blocks = list[tuple[bytes, bytes]]


def sample() -> Blocks:
    """Return blocks of every kind, most of them raw with sha2-256."""
    blocks = [pair[:2] for pair in outcome(SMALL_V1).blocks if cids.prefix_of(pair[0]).hash_code]
    sizes = [0, 1, 90, 91, 92, 16_346, 16_348, 2_000_000, *range(200)]
    return blocks + [(cid(data), data) for data in (b"%d" % number + bytes(size) for number, size in enumerate(sizes))]


def as_lines(blocks: Blocks) -> list[str]:
    return [f"{cids.to_text(name)} {data.hex()}" for name, data in blocks]


def check_by_peer(peer: Peer, path: Path, blocks: Blocks, root: bytes) -> None:
    """go-car verifies every hash, and finds every block by the index that is in the file."""
    said = peer("inspect", path)
    assert said["roots"] == [cids.to_text(root)]
    assert said["blocks"] == len(blocks)
    assert said["found"] == [{"cid": cids.to_text(name), "size": len(data)} for name, data in blocks]
    if said["version"] == 2:
        assert said["index"] == 0x0401
        assert said["entries"] == len(blocks)
        names = [cids.to_text(name) for name, _ in blocks]
        absent = cids.to_text(cid(b"absent"))
        found = peer("get", path, stdin=[*names, absent])
        assert found == {cids.to_text(name): len(data) for name, data in blocks} | {absent: None}
        if blocks:  # to make an index of no blocks it goes on behind the data
            assert our_index(path) == peer("index", path)


def our_index(path: Path) -> bytes:
    archive = path.read_bytes()
    header = CarReader(archive).v2_header
    assert header is not None
    return archive[header.index_offset :]


def test_they_read_our_files(peer: Peer, tmp_path: Path) -> None:
    """New, closed and continued; the index is theirs, byte by byte."""
    path, blocks = tmp_path / "ours.car", sample()
    with CarFile.open(path, "x") as file:
        for name, data in blocks[:100]:
            file.put(name, data)
    check_by_peer(peer, path, blocks[:100], cid(b"\xa0", "dag-cbor"))
    assert peer("inspect", path)["fullyIndexed"]
    with CarFile.open(path, "a") as file:
        for name, data in blocks:
            file.put(name, data)
        file.roots = [cids.from_bytes(blocks[-1][0])]
        file.flush()
        said = peer("inspect", path)  # flushed, and still open: without index
        assert (said["blocks"], said["index"], said["roots"]) == (len(blocks), 0, [cids.to_text(blocks[-1][0])])
    check_by_peer(peer, path, blocks, blocks[-1][0])


def test_they_read_a_file_of_no_blocks(peer: Peer, tmp_path: Path) -> None:
    CarFile.open(tmp_path / "empty.car", "x").close()
    check_by_peer(peer, tmp_path / "empty.car", [], cid(b"\xa0", "dag-cbor"))


def test_they_read_a_carv1_that_we_continued(peer: Peer, tmp_path: Path) -> None:
    path, blocks = tmp_path / "ours.car", sample()
    with path.open("wb") as stream, CarWriter(stream, [blocks[0][0]]) as writer:
        for name, data in blocks[:50]:
            writer.write(name, data)
    with CarFile.open(path, "a") as file:
        for name, data in blocks:
            file.put(name, data)
    check_by_peer(peer, path, blocks, blocks[0][0])


def test_they_read_what_we_recovered(peer: Peer, tmp_path: Path) -> None:
    """A file whose writer was stopped, and one more that we continued of another's with padding."""
    path, blocks = tmp_path / "ours.car", sample()
    payload = car_v1(*(section(data, name) for name, data in blocks[:20]), roots=[blocks[0][0]])
    more = section(*reversed(blocks[20]))
    for archive in (car_v2(payload) + more + more[:-1], car_v2(payload + more, padding=b"some bytes")):
        path.write_bytes(archive)
        with CarFile.open(path, "a") as file:
            for name, data in blocks:
                file.put(name, data)
        check_by_peer(peer, path, blocks, blocks[0][0])


def test_we_read_their_files(peer: Peer, tmp_path: Path) -> None:
    """By their index; and when we have continued one, they read it again."""
    path, blocks = tmp_path / "theirs.car", sample()
    assert peer("write", path, cids.to_text(blocks[0][0]), stdin=as_lines(blocks[:-20])) == len(blocks) - 20
    with CarFile.open(path) as file:
        assert file.scan_reason is None
        assert [bytes(root) for root in file.roots] == [blocks[0][0]]
        for name, data in blocks[:-20]:
            assert file.get(name) == data
        assert blocks[-1][0] not in file
        assert file.scan_reason is None
        assert len(file) == len(blocks) - 20
    with CarFile.open(path, "a") as file:
        for name, data in blocks:
            file.put(name, data)
        file.roots = [cids.from_bytes(blocks[-1][0])]
    check_by_peer(peer, path, blocks, blocks[-1][0])


def test_they_continue_our_files(peer: Peer, tmp_path: Path) -> None:
    """And we go on."""
    path, blocks = tmp_path / "both.car", sample()
    with CarFile.open(path, "x") as file:
        file.roots = [cids.from_bytes(blocks[0][0])]
        for name, data in blocks[:50]:
            file.put(name, data)
    peer("write", path, cids.to_text(blocks[0][0]), stdin=as_lines(blocks[40:100]))
    with CarFile.open(path, "a") as file:
        assert file.scan_reason is None
        for name, data in blocks[:100]:
            assert not file.put(name, data)
        for name, data in blocks[100:]:
            assert file.put(name, data)
    check_by_peer(peer, path, blocks, blocks[0][0])


def test_we_finish_what_they_did_not(peer: Peer, tmp_path: Path) -> None:
    path, blocks = tmp_path / "theirs.car", sample()
    peer("unfinished", path, cids.to_text(blocks[0][0]), stdin=as_lines(blocks[:30]))
    with CarFile.open(path, "a") as file:
        assert file.scan_reason == "its writer was stopped before it wrote the header"
        assert len(file) == 30
        for name, data in blocks:
            file.put(name, data)
    check_by_peer(peer, path, blocks, blocks[0][0])


def test_an_archive_they_wrap(peer: Peer, tmp_path: Path) -> None:
    """With identity CIDs, which their index leaves out, and ours."""
    blocks = [pair[:2] for pair in outcome(SMALL_V1).blocks]
    (tmp_path / "v1.car").write_bytes(SMALL_V1)
    peer("wrap", tmp_path / "v1.car", tmp_path / "v2.car")
    with CarFile.open(tmp_path / "v2.car") as file:
        assert file.scan_reason is None
        for name, data in blocks:
            assert file.get(name) == data
        assert len(file) == len(blocks) - 1
        assert cid(b"absent") not in file
        assert file.scan_reason is None
    index = CarIndex(our_index(tmp_path / "v2.car"))
    assert len(index) == len(blocks) - 1
    with CarFile.open(tmp_path / "v2.car", "a") as file:
        file.put(cid(b"more"), b"more")
    said = peer("inspect", tmp_path / "v2.car")
    assert (said["blocks"], said["entries"], said["fullyIndexed"]) == (len(blocks) + 1, len(blocks), False)
    assert our_index(tmp_path / "v2.car") == peer("index", tmp_path / "v2.car")
