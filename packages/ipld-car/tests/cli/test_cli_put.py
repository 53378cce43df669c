"""``ipld-car put-block``: one block from standard input into an archive, as go-car has it."""

import os
from pathlib import Path

import pytest
from ipld_car import CarFile, dagcbor
from ipld_car.terminal.testing import Run

from ..support.car_samples import SMALL_V1, SMALL_V2, car_v1, cid, outcome, section
from ..support.cli_samples import text

pytestmark = pytest.mark.smoke

HELLO, WORLD = b"hello world\n", b"second block\n"
HELLO_CID = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"


@pytest.mark.parametrize("version", [1, 2])
def test_a_new_archive_and_one_more_block(version: int, ipld_car: Run, tmp_path: Path) -> None:
    """The CIDs and files of the script test of go-car."""
    path = tmp_path / "new.car"
    assert ipld_car("put-block", "--version", version, path, stdin=HELLO).lines == [HELLO_CID]
    assert ipld_car("root", path).lines == []
    second = "bafkreicyxldtjmy4vssak6mmqfijb27xiznflnxgu3nr2gevidlttaso3q"
    assert ipld_car("pb", path, stdin=WORLD).lines == [second]
    assert ipld_car("put-block", "--json", path, stdin=WORLD).json == [{"cid": second, "size": 13, "added": False}]
    assert ipld_car("list", path).lines == [HELLO_CID, second]
    assert ipld_car("get-block", path, second).out == WORLD
    assert ipld_car("verify", path).text.startswith(f"good: CARv{version}, 2 blocks, 0 bad, no roots")


def test_a_root_and_a_codec(ipld_car: Run, tmp_path: Path) -> None:
    path = tmp_path / "new.car"
    node = dagcbor.encode({"a": [1]})
    name = text(cid(node, "dag-cbor"))
    assert ipld_car("put-block", "--set-root", "-c", "dag-cbor", path, stdin=node).lines == [name]
    assert ipld_car("root", path).lines == [name]
    assert "has its roots already" in ipld_car("put-block", "--set-root", path, stdin=HELLO, code=2).err
    assert "dag-cbor" in ipld_car("put-block", "-c", "dag-cbor", path, stdin=b"\xff", code=2).err
    assert ipld_car("list", path).lines == [name]


def test_a_cid_that_is_expected(ipld_car: Run, tmp_path: Path) -> None:
    path = tmp_path / "new.car"
    assert ipld_car("put-block", "--cid", HELLO_CID, path, stdin=HELLO).lines == [HELLO_CID]
    other = text(cid(WORLD, "dag-pb", "sha2-512"))
    assert "expected bytes with the hash of" in ipld_car("put-block", "--cid", HELLO_CID, path, stdin=WORLD, code=2).err
    assert "--codec or --cid" in ipld_car("put-block", "--cid", other, "-c", "raw", path, stdin=WORLD, code=2).err
    assert ipld_car("list", path).lines == [HELLO_CID]


def test_an_archive_goes_on_as_it_is(ipld_car: Run, tmp_path: Path) -> None:
    """Version, roots and blocks stay; to standard output goes a new one."""
    for archive in (SMALL_V1, SMALL_V2):
        (tmp_path / "a.car").write_bytes(archive)
        ipld_car("put-block", tmp_path / "a.car", stdin=HELLO)
        before, after = outcome(archive), outcome((tmp_path / "a.car").read_bytes())
        assert (after.version, after.roots, after.error) == (before.version, before.roots, None)
        assert [block[:2] for block in after.blocks[:-1]] == [block[:2] for block in before.blocks]
        assert after.blocks[-1][1] == HELLO
    piped = ipld_car("put-block", "--version", 1, "--set-root", "-", stdin=HELLO)
    assert piped.out == car_v1(section(HELLO), roots=[cid(HELLO)])
    assert piped.err.split() == [HELLO_CID]


def test_what_cannot_take_a_block_is_left_alone(ipld_car: Run, tmp_path: Path) -> None:
    junk, large = tmp_path / "junk.car", os.urandom(8 << 20)
    junk.write_bytes(b"no archive")
    assert "expected a header" in ipld_car("put-block", junk, stdin=HELLO, code=1).err
    assert junk.read_bytes() == b"no archive"
    assert "at most" in ipld_car("put-block", tmp_path / "new.car", stdin=large, code=2).err
    with CarFile.open(tmp_path / "open.car", "x"):
        assert "no other writer" in ipld_car("put-block", tmp_path / "open.car", stdin=HELLO, code=2).err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junk.car", "open.car"]


def test_what_is_cut_off_is_said(ipld_car: Run, tmp_path: Path) -> None:
    """A CARv1 that ends in the middle of a section: that one, if so it is, was torn; what goes is told in any case."""
    path = tmp_path / "a.car"
    path.write_bytes(SMALL_V1 + section(b"torn")[:-1])
    said = ipld_car("put-block", path, stdin=b"new").err
    size = len(section(b"torn")) - 1
    assert f"warning: {path} was scanned: it ends in the middle of a section" in said
    assert f"closing it cuts off the {size} bytes from there" in said
    assert path.read_bytes() == SMALL_V1 + section(b"new")
