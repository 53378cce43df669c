"""The names of Kubo's flatfs, as https://github.com/ipfs/go-ds-flatfs has them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ipld_car import cids, hashes
from ipld_castore import BackendUnavailableError, FileSystemCAStore
from ipld_castore._backends import flatfs
from multiformats import CID

# A block of a real repo: the empty UnixFS folder, `ipfs repo` keeps it from the first day on.
KEY = "CIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y"
NAME = CID.decode("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
DATA = bytes.fromhex("0a020801")


def test_the_file_of_a_block(tmp_path: Path) -> None:
    """The file of a block has the key, shard and rule of a real repo."""
    store = FileSystemCAStore(tmp_path / "a" / "blocks")
    store.put_block(NAME, DATA)
    root = tmp_path / "a" / "blocks"
    assert {str(path.relative_to(root)) for path in root.rglob("*")} == {"SHARDING", "X3", f"X3/{KEY}.data"}
    assert (root / "X3" / f"{KEY}.data").read_bytes() == DATA
    assert (root / "SHARDING").read_bytes() == b"/repo/flatfs/shard/v1/next-to-last/2\n"
    assert list(store) == [CID("base32", 1, "raw", NAME.digest)]


# What go-ds-flatfs says of these keys.
@pytest.mark.parametrize(
    ("rule", "shards"),
    [
        ("next-to-last/1", {KEY: "3", "AB": "A", "A": "_"}),
        ("next-to-last/2", {KEY: "X3", "ABC": "AB", "AB": "_A", "A": "__"}),
        ("next-to-last/3", {KEY: "LX3", "ABC": "_AB", "A": "___"}),
        ("prefix/2", {KEY: "CI", "AB": "AB", "A": "A_"}),
        ("prefix/5", {KEY: "CIQFT", "A": "A____"}),
        ("suffix/2", {KEY: "3Y", "AB": "AB", "A": "_A"}),
        ("suffix/12", {KEY: "BCERZ6CMLX3Y", "A": "___________A"}),
    ],
)
def test_rules(rule: str, shards: dict[str, str]) -> None:
    """A key that is too short for its rule is padded."""
    sharding = flatfs.Sharding.parse(f" /repo/flatfs/shard/v1/{rule}\n\n")
    assert str(sharding) == f"/repo/flatfs/shard/v1/{rule}"
    for key, shard in shards.items():
        assert sharding.shard(key) == shard


@pytest.mark.parametrize("rule", ["next-to-last/3", "prefix/2", "suffix/1"])
def test_a_folder_keeps_its_rule(tmp_path: Path, rule: str) -> None:
    """A folder that other software made keeps its rule."""
    (tmp_path / "SHARDING").write_text(f"/repo/flatfs/shard/v1/{rule}\n")
    store = FileSystemCAStore(tmp_path)
    blocks = [store.put(b"%d" % number) for number in range(20)]
    assert (tmp_path / "SHARDING").read_text() == f"/repo/flatfs/shard/v1/{rule}\n"
    for cid in blocks:
        key = flatfs.key_of(bytes(cid))
        shard = {"next-to-last/3": key[-4:-1], "prefix/2": key[:2], "suffix/1": key[-1]}[rule]
        assert (tmp_path / shard / f"{key}.data").is_file()
    assert set(FileSystemCAStore(tmp_path)) == set(blocks)


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "next-to-last/2",
        "/repo/flatfs/shard/v2/next-to-last/2",
        "/repo/flatfs/shard/v1/next-to-last/0",
        "/repo/flatfs/shard/v1/next-to-last/-1",
        "/repo/flatfs/shard/v1/next-to-last/999999999",
        "/repo/flatfs/shard/v1/middle/2",
        "/repo/flatfs/shard/v1/next-to-last/2\nmore",
        "\x00\xff" * 1000,
    ],
)
def test_rules_that_are_none(tmp_path: Path, rule: str) -> None:
    """An invalid rule is an error that names the folder and quotes a short part of the rule."""
    (tmp_path / "SHARDING").write_bytes(rule.encode("latin-1"))
    with pytest.raises(BackendUnavailableError, match="expected a rule like") as caught:
        FileSystemCAStore(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_keys_and_cids() -> None:
    """A key is a multihash of any length. Other names are no keys."""
    for digest in (b"", b"\x00", random.Random(2).randbytes(64)):
        cid = cids.make(cids.RAW, digest, cids.SHA2_256)
        assert flatfs.cid_of(flatfs.key_of(cid)) == cid
    for foreign in ("", "A", "ü", "CIQ", KEY.lower(), KEY + "A", KEY[:-1] + "Z", "=" * 8, KEY + "=", "\x00"):
        assert flatfs.cid_of(foreign) is None


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Return a folder as a killed Kubo leaves it, with other files in it."""
    folder = tmp_path / "blocks"
    for name, data in {
        "SHARDING": b"/repo/flatfs/shard/v1/next-to-last/2\n",
        "_README": b"This is a repository of IPLD objects.",
        "diskUsage.cache": b'{"diskUsage":4,"accuracy":"initial-exact"}\n',
        ".temp/temp-123": b"half",
        f".temp/batch-1/{KEY}.data": b"half",
        f"X3/{KEY}.data": DATA,
        "X3/put-123": b"half",
        f"X3/put-{KEY}.data": b"half",
        f"X3/{KEY}": b"no extension",
        f"X3/{KEY.lower()}.data": b"lower case",
        "X3/ü.data": b"no base32",
        "X3/.data": b"no key",
        f"AA/{KEY}.data": b"wrong shard",
        "ZZ": b"a file where a shard would be",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / "YY" / "folder.data").mkdir(parents=True)
    return folder


def test_a_folder_of_kubo_is_read(repo: Path) -> None:
    """The blocks of a Kubo folder are read by any CID. Other files are left out, and nothing changes."""
    before = {path: path.stat().st_mtime_ns for path in repo.rglob("*")}
    store = FileSystemCAStore(repo)
    assert list(store) == [CID("base32", 1, "raw", NAME.digest)]
    assert store.get_raw(NAME) == DATA
    assert store.get_raw(CID("base32", 1, "dag-pb", NAME.digest)) == DATA
    assert {path: path.stat().st_mtime_ns for path in repo.rglob("*")} == before


def test_a_folder_of_kubo_is_written(repo: Path) -> None:
    """Puts leave other files as they are. A file in the place of a shard is an error that names it."""
    store = FileSystemCAStore(repo)
    candidates = [cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, b"%d" % number)) for number in range(4000)]
    blocked = next(number for number, cid in enumerate(candidates) if flatfs.key_of(cid)[-3:-1] == "ZZ")
    cid = cids.from_bytes(candidates[blocked])
    for verb in (store.get_block, store.has_block, store.block_size, store.delete_block, store.get_raw):
        with pytest.raises(BackendUnavailableError, match="ZZ"):
            verb(cid)
    with pytest.raises(BackendUnavailableError, match="ZZ"):
        store.put_raw(b"%d" % blocked)
    other = store.put_raw(b"another")
    assert {cid.digest for cid in store} == {NAME.digest, other.digest}
    assert (repo / "X3" / "put-123").read_bytes() == b"half"
