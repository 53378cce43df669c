"""Archives and files go to @ipld/car and js-ipfs and come back: independent implementations.

They are installed by npm, in the versions of peers/js, into pytest's cache; without node there is nothing to ask.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ipld_car import CarFile, CarReader, CarWriter, cids, dagcbor, unixfs, walk_binary

from ..support.car_samples import MIXED, SMALL_V1, Dribble, car_v1, check, cid, outcome, section

SOURCES = Path(__file__).parent / "js"

Peer = Callable[..., bytes]


@pytest.fixture(scope="session")
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Peer:
    """Run a verb of peers/js/peer.mjs and return what it prints."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("no node or no npm here: nothing to read our archives but ourselves")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout
    if int(version.strip().lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"node {version.strip()} is here, @ipld/car wants 20 or newer")
    wanted = b"".join((SOURCES / file).read_bytes() for file in ("package.json", "package-lock.json"))
    name = "ipld-car-js-" + hashlib.sha256(wanted).hexdigest()[:16]
    cache: pytest.Cache | None = getattr(request.config, "cache", None)  # which can be turned off
    folder = cache.mkdir(name) if cache else tmp_path_factory.mktemp(name)
    if not (folder / "installed").exists():
        for file in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / file, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = f"npm cannot install @ipld/car here: {done.stderr.strip()[-500:]}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        (folder / "installed").touch()
    shutil.copy(SOURCES / "peer.mjs", folder)

    def run(*arguments: object) -> bytes:
        command = [node, "peer.mjs", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return run


def told(archive: bytes) -> dict[str, Any]:
    """What is in an archive, as the peer tells it."""
    reader = CarReader(archive)
    blocks = list(reader)
    return {
        "version": reader.version,
        "roots": [str(root) for root in reader.roots],
        "blocks": [
            {"cid": str(each.cid), "size": len(each.data), "digest": hashlib.sha256(each.data).hexdigest()}
            for each in blocks
        ],
        "index": [
            {
                "cid": str(each.cid),
                "length": each.location.size,
                "blockLength": each.location.payload_size,
                "offset": each.location.offset,
                "blockOffset": each.location.payload_offset,
            }
            for each in blocks
        ],
    }


def written(roots: list[bytes], blocks: list[tuple[bytes, bytes]]) -> bytes:
    stream = io.BytesIO()
    with CarWriter(stream, roots) as writer:
        for name, data in blocks:
            writer.write(name, data)
    return stream.getvalue()


@pytest.mark.slow
def test_they_read_what_we_write(peer: Peer, tmp_path: Path) -> None:
    large = [(cid(data), data) for data in (os.urandom(size) for size in (0, 90, 91, 92, 16_346, 16_348, 3_000_000))]
    every = [block[:2] for block in outcome(SMALL_V1).blocks]
    long = (cid(bytes(300), "raw", "identity"), bytes(300))
    unknown = (b"\x01\x81\x80\xc0\x01\x12\x20" + hashlib.sha256(b"?").digest(), b"?")
    for roots, blocks in (
        ([], []),
        ([every[0][0]], every),
        ([name for name, _ in every], large + every + large),
        ([long[0], unknown[0]], [long, unknown]),
    ):
        path = tmp_path / "ours.car"
        path.write_bytes(written(roots, blocks))
        assert json.loads(peer("read", path)) == told(path.read_bytes())


def test_we_read_what_they_write(peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "theirs.car"
    said = json.loads(peer("write", path))
    archive = path.read_bytes()
    found = told(archive)
    assert {"roots": found["roots"], "blocks": found["blocks"]} == said
    assert len(found["blocks"]) == 13
    check(outcome(archive), archive)
    assert outcome(Dribble(archive, 4096)) == outcome(archive)
    # Byte by byte the same, when we write it.
    blocks = [block[:2] for block in outcome(archive).blocks]
    assert written(outcome(archive).roots, blocks) == archive
    leaf = cids.from_bytes(blocks[0][0])
    assert dagcbor.decode(blocks[1][1]) == {
        "links": [leaf],
        "pi": 3.5,
        "big": (1 << 64) - 1,
        "negative": -(1 << 64),
        "bytes": bytes(leaf),
        "é": [None, True],
    }
    assert dagcbor.encode(dagcbor.decode(blocks[1][1])) == blocks[1][1]


def test_they_read_archives_of_version_2_as_we_do(peer: Peer, fixtures: Path) -> None:
    """By their iterator; their index has no archives of version 2."""
    for name in ("go-car-v2/sample-unixfs-v2.car", "ipld-spec/carv1-basic.car", "ipfs-car/comic.car"):
        path = fixtures / name
        said, found = json.loads(peer("read", path)), told(path.read_bytes())
        for key in ("version", "roots", "blocks"):
            assert said[key] == found[key], name


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_they_read_our_files_and_we_continue_theirs(peer: Peer, tmp_path: Path, version: int) -> None:
    """A CarFile while it is flushed and open, closed and continued; theirs with blocks of ours behind."""
    path = tmp_path / "a.car"
    if version == 1:
        peer("write", path)
    blocks = [(cid(data), data) for data in (os.urandom(size) for size in (5, 90, 91, 16_346, 3_000_000))]
    theirs = outcome(path.read_bytes()).blocks if version == 1 else []
    expected = [pair[:2] for pair in theirs]

    def check() -> None:
        said, found = json.loads(peer("read", path)), told(path.read_bytes())
        assert [said[key] for key in ("version", "roots", "blocks")] == [
            found[key] for key in ("version", "roots", "blocks")
        ]
        assert said["version"] == version
        assert [block[:2] for block in outcome(path.read_bytes()).blocks] == expected

    for name, data in blocks:
        with CarFile.open(path, "a") as file:
            assert file.put(name, data)
            assert not any(file.put(*pair) for pair in expected)
            expected.append((name, data))
            file.flush()
            check()
        check()
    if version == 2:
        with CarFile.open(path, "a") as file:
            root = unixfs.build(os.urandom(10_000), file.put, chunk_size=1000, max_links=3)
            file.roots = [cids.from_bytes(root)]
            content = b"".join(unixfs.read(file.get, root))
        assert peer("cat", path, cids.to_text(root)) == content


@pytest.mark.parametrize(
    ("size", "chunk_size", "max_links"),
    [
        (0, 1 << 20, 1024),
        (1 << 20, 1 << 20, 1024),
        ((1 << 21) + 1, 1 << 20, 1024),
        (12, 4, 3),
        (40, 4, 3),
        (1000, 7, 2),
    ],
)
def test_files_have_the_cid_that_js_ipfs_gives_them(
    peer: Peer, tmp_path: Path, size: int, chunk_size: int, max_links: int
) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    said = json.loads(peer("add", tmp_path / "file", chunk_size, max_links, tmp_path / "theirs.car"))
    blocks: dict[bytes, bytes] = {}
    root = unixfs.build(data, blocks.__setitem__, chunk_size=chunk_size, max_links=max_links)
    assert cids.to_text(root) == said["root"]
    theirs = {block.cid_bytes: block.data for block in CarReader((tmp_path / "theirs.car").read_bytes())}
    assert theirs == blocks
    assert b"".join(unixfs.read(theirs.__getitem__, root)) == data
    # And back: our archive, depth first, their reader.
    ours = tmp_path / "ours.car"
    ours.write_bytes(written([root], list(walk_binary(blocks.__getitem__, root))))
    assert peer("cat", ours, said["root"]) == data


def test_they_refuse_what_we_refuse(peer: Peer, tmp_path: Path) -> None:
    """Truncation; hashes they do not check."""
    path = tmp_path / "cut.car"
    for cut in (1, len(MIXED[-1]) - 1):
        path.write_bytes(SMALL_V1[:-cut])
        assert outcome(path.read_bytes()).error
        with pytest.raises(AssertionError, match="Unexpected end of data"):
            peer("read", path)
    path.write_bytes(car_v1(section(b"x") + b"\x00"))
    assert outcome(path.read_bytes()).error
    with pytest.raises(AssertionError, match="Error"):
        peer("read", path)
