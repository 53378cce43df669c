"""The verbs that list archives and make archives of archives, against what go-car and others made of the same data."""

import os
from pathlib import Path

import pytest
from ipld_car import CarReader
from ipld_car.terminal.testing import Run

from ..support.car_samples import MIXED, SMALL_V1, SMALL_V2, car_v1, car_v2, cid, outcome, section
from ..support.cli_samples import Tree, text

V1_ROOT = "bafy2bzaced4ueelaegfs5fqu4tzsh6ywbbpfk3cxppupmxfdhbpbhzawfw5oy"
SOME = [
    "bafy2bzacebohz654namrgmwjjx4qmtwgxixsd7pn4tlanyrc3g3hwj75hlxrw",
    "bafy2bzaceaqtiesyfqd2jibmofz22oolguzf5wscwh73rmeypglfu2xhkptri",
    "bafy2bzacebct3dm7izgyauijzkaf3yd7ylni725k66rq7dfp3jr5ywhpprj3k",
]


# -- list, inspect, root -------------------------------------------------------------------------------


def test_list(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    for archive in (SMALL_V1, SMALL_V2):
        blocks = outcome(archive).blocks
        assert ipld_car("ls", "-", tmp_path / "list", stdin=archive).out == b""
        assert (tmp_path / "list").read_text().splitlines() == [text(name) for name, _, _ in blocks]
        for line, (name, data, location) in zip(ipld_car("list", "--json", stdin=archive).json, blocks, strict=True):
            assert line["cid"] == text(name)
            assert (line["offset"], line["payload_offset"]) == (location.offset, location.payload_offset)
            assert archive[line["payload_offset"] :][: line["size"]] == data
    shown = ipld_car("list", "-v", fixtures / "ipfs-car/comic.car").lines
    assert shown[0] == "raw: bafkreiajkbmpugz75eg2tmocmp3e33sg5kuyq2amzngslahgn6ltmqxxfa"
    assert shown[3:5] == [
        "\t2 links. 2 bytes",
        "\t\tpinpie.jpg[47874 B] bafkreiajkbmpugz75eg2tmocmp3e33sg5kuyq2amzngslahgn6ltmqxxfa",
    ]
    assert shown[-1] == "\tUnixFS directory"


def test_a_list_ends_where_the_archive_cannot_be_read(ipld_car: Run) -> None:
    told = ipld_car("list", stdin=SMALL_V1[:-1], code=1)
    assert len(told.lines) == 5
    assert "and then the end (block 5, offset" in told.err


def test_list_of_paths(ipld_car: Run, fixtures: Path) -> None:
    paths = ipld_car("list", "--unixfs", fixtures / "go-car-cmd/simple-unixfs.car").lines
    assert len(paths) == 21
    assert paths[:4] == ["a", "a/1", "a/1/A.txt", "a/2"]
    assert paths[-1] == "c/9/I.txt"
    with_cids = ipld_car("list", "--unixfs-blocks", fixtures / "go-car-cmd/simple-unixfs.car").lines
    assert with_cids[2] == "QmTsoR2uVZyntFTWdm11YjFKafPr37kpGhH4m4o4bLGxdF a/1/A.txt"
    lines = ipld_car("list", "--unixfs", "--json", fixtures / "go-car-cmd/simple-unixfs-missing-blocks.car").json
    assert [line["path"] for line in lines if line["kind"] == "missing"] == ["b/4", "b/5/E.txt", "b/6"]


INSPECTED = f"""\
Version: 2
Characteristics: 00000000000000000000000000000000
Data offset: 51
Data (payload) length: 479907
Index offset: 479958
Index type: car-multihash-index-sorted
Roots: {V1_ROOT}
Root blocks present in data: Yes
Block count: 1049
Min / average / max block length (bytes): 1 / 417 / 1342
Min / average / max CID length (bytes): 14 / 37 / 38
Block count per codec:
\traw: 6
\tdag-cbor: 1043
CID count per multihash:
\tidentity: 6
\tblake2b-256: 1043
"""


def test_inspect_says_what_go_car_says(ipld_car: Run, fixtures: Path) -> None:
    """Word for word as the script test of go-car has it."""
    archive = fixtures / "go-car-v2/sample-wrapped-v2.car"
    assert ipld_car("inspect", archive).text == INSPECTED
    assert ipld_car("inspect", "--full", stdin=archive.read_bytes()).text == INSPECTED
    first, *_, rest = INSPECTED.partition("Index type: car-multihash-index-sorted\n")
    assert first
    assert ipld_car("inspect", fixtures / "go-car-v2/sample-v1.car").text == "Version: 1\n" + rest
    (figures,) = ipld_car("inspect", "--json", fixtures / "ipfs-car/multi-root.car").json
    assert (figures["roots_present"], figures["blocks"], len(figures["roots"])) == (False, 1, 2)
    padded = fixtures / "go-car-v2/sample-v1-with-zero-len-section.car"
    assert "Block count: 1049" in ipld_car("inspect", padded).text
    assert "Block count: 1049" in ipld_car("inspect", "--full", padded).text
    assert "its index cannot be read" in ipld_car("inspect", stdin=archive.read_bytes()[:-3], code=1).err
    damaged = SMALL_V1[:-1] + b"!"
    assert "Block count: 6" in ipld_car("inspect", stdin=damaged).text
    assert "expected bytes with the hash of" in ipld_car("inspect", "--full", stdin=damaged, code=1).err
    assert "216830324832" in ipld_car("inspect", fixtures / "go-car-cmd/badheaderlength.car", code=1).err


def test_root(ipld_car: Run, fixtures: Path) -> None:
    assert ipld_car("root", fixtures / "go-car-v2/sample-v1.car").lines == [V1_ROOT]
    assert ipld_car("root", stdin=(fixtures / "go-car-v2/sample-wrapped-v2.car").read_bytes()).lines == [V1_ROOT]
    assert len(ipld_car("root", fixtures / "go-car-v2/sample-rw-bs-v2.car").lines) == 3


# -- get-block, get-dag --------------------------------------------------------------------------------


def test_get_block(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    name = SOME[0]
    expected = (fixtures / f"go-car-cmd/{name}.block").read_bytes()
    archive = fixtures / "go-car-v2/sample-v1.car"
    assert ipld_car("get-block", archive, name).out == expected
    ipld_car("gb", "-", name, tmp_path / "block", stdin=archive.read_bytes())
    assert (tmp_path / "block").read_bytes() == expected
    assert ipld_car("get-block", "-", text(cid(b"hello", "dag-cbor")), stdin=SMALL_V1).out == b"hello"
    assert ipld_car("get-block", "-", text(cid(b"in it", "raw", "identity")), stdin=SMALL_V1).out == b"in it"
    damaged = SMALL_V1.replace(b"hello", b"jello")
    assert ipld_car("get-block", "-", text(cid(b"hello")), stdin=damaged, code=1).out == b""


def test_get_dag(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    """That archive was exported by Kubo, so what its root reaches is the archive again, byte for byte."""
    archive = fixtures / "go-car-cmd/simple-unixfs.car"
    ipld_car("get-dag", "--version", 1, archive, tmp_path / "whole.car")
    assert (tmp_path / "whole.car").read_bytes() == archive.read_bytes()
    (a,) = [line["cid"] for line in ipld_car("list", "--unixfs", "--json", archive).json if line["path"] == "a"]
    ipld_car("gd", archive, a, tmp_path / "a.car")
    assert ipld_car("root", tmp_path / "a.car").lines == [a]
    assert ipld_car("verify", tmp_path / "a.car").text.startswith("good: CARv2, 7 blocks, 0 bad, 1 root, complete")
    holes = fixtures / "go-car-cmd/simple-unixfs-missing-blocks.car"
    assert ipld_car("get-dag", holes, tmp_path / "holes.car").err.count("block not found") == 3
    assert len(ipld_car("list", tmp_path / "holes.car").lines) == 17
    *missing, done = ipld_car("get-dag", "--json", holes, tmp_path / "holes.car").json
    assert [line["missing"] for line in missing] == [True] * 3
    assert done == {"root": ipld_car("root", holes).lines[0], "blocks": 17, "not_followed": {}}
    assert "does not have it" in ipld_car("get-dag", "--strict", holes, tmp_path / "strict.car", code=1).err
    assert not (tmp_path / "strict.car").exists()
    assert "found 2" in ipld_car("get-dag", fixtures / "ipfs-car/multi-root.car", "-", code=1).err
    assert "expected a CID" in ipld_car("get-dag", archive, "nonsense", "out", code=2).err


def test_links_of_dag_json_are_followed(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    """A file of go-ipld-prime in that codec; without its leaves it is not complete."""
    archive, out = fixtures / "ipld-spec/selector-fixtures-adl.car", tmp_path / "out.car"
    (name,) = ipld_car("root", archive).lines
    assert ipld_car("root", "--implicit", archive).lines == [name]
    assert ipld_car("get-dag", "--strict", archive, out).err == ""
    assert ipld_car("list", out).lines[0] == name
    assert sorted(ipld_car("list", out).lines) == sorted(ipld_car("list", archive).lines)
    ipld_car("filter", archive, tmp_path / "cut.car", stdin=name.encode())
    *missing, last = ipld_car("verify", tmp_path / "cut.car", code=1).lines
    assert sorted(line.split()[1] for line in missing) == sorted(ipld_car("list", out).lines[1:])
    assert last.startswith("BAD: CARv2, 1 block, 0 bad, 1 root, incomplete, 4 missing")
    assert "does not have it" in ipld_car("get-dag", "--strict", tmp_path / "cut.car", tmp_path / "no.car", code=1).err
    one = '{"f":{"f>":{"Links":{"i":{"i":2,">":{"a":{">":{".":{}}}}}}}}}'
    ipld_car("get-dag", "-s", one, archive, tmp_path / "one.car")
    assert ipld_car("list", tmp_path / "one.car").lines == [name, ipld_car("list", out).lines[3]]


# -- index, wrap ---------------------------------------------------------------------------------------


def test_indexes_are_those_of_go_car(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    """Byte for byte: the index alone, the CARv2 around it, and the CARv1 out of that again."""
    v2 = fixtures / "go-car-v2"
    v1, wrapped = v2 / "sample-v1.car", v2 / "sample-wrapped-v2.car"
    index = v2 / "sample-multihash-index-sorted.carindex"
    assert ipld_car("index", "create", v1).out == index.read_bytes()
    assert ipld_car("detach-index", wrapped).out == index.read_bytes()
    ipld_car("index", v1, tmp_path / "i.car")
    assert (tmp_path / "i.car").read_bytes() == wrapped.read_bytes()
    assert ipld_car("wrap", stdin=v1.read_bytes()).out == wrapped.read_bytes()
    ipld_car("unwrap", wrapped, tmp_path / "u.car")
    assert (tmp_path / "u.car").read_bytes() == v1.read_bytes()
    assert ipld_car("index", "--version", 1, wrapped).out == v1.read_bytes()
    listed = ipld_car("detach-index", "list", index).lines
    assert len(listed) == 1043
    assert listed[0] == "a0e40220009aee3db0a94461b0fdb57767744b97531709b8d1355bb081ce72e5377baa5f 368261"
    none = ipld_car("index", "--codec", "none", v1).out
    assert outcome(none).version == 2
    assert "no index" in ipld_car("verify", stdin=none).text
    other = ipld_car("index", "-c", "car-index-sorted", v1).out
    assert ipld_car("inspect", stdin=other).text.count("Index type: car-index-sorted") == 1
    assert "index good" in ipld_car("verify", stdin=other).text


def test_what_cannot_be_indexed(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"what was there")
    damaged = SMALL_V1[:-1] + b"!"
    for verb in ("wrap", "unwrap", "index"):
        assert "(block 5" in ipld_car(verb, "-", tmp_path / "out", stdin=damaged, code=1).err
    assert "found none" in ipld_car("detach-index", "-", tmp_path / "out", stdin=SMALL_V1, code=1).err
    assert "0x1" in ipld_car("detach-index", fixtures / "ipld-spec/carv2-basic.car", code=1).err
    assert "a CARv1 has no index" in ipld_car("index", "--version=1", "-c", "car-index-sorted", "-", code=2).err
    assert "needs a codec" in ipld_car("index", "create", "-c", "none", "-", code=2).err
    assert ipld_car("detach-index", "list", tmp_path / "out", code=1).out == b""
    assert (tmp_path / "out").read_bytes() == b"what was there"


# -- filter --------------------------------------------------------------------------------------------


def test_filter(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    """The cases of the script test of go-car."""
    archive, out = fixtures / "go-car-v2/sample-wrapped-v2.car", tmp_path / "out.car"
    some = "\n".join(SOME).encode()
    told = ipld_car("filter", archive, out, stdin=some)
    assert "no roots defined after filtering" in told.err
    assert "filtering to 3 cids" in told.text
    assert ipld_car("list", out).lines == SOME
    assert ipld_car("filter", archive, out, stdin=V1_ROOT.encode()).err == ""
    assert ipld_car("list", out).lines == ipld_car("root", out).lines == [V1_ROOT]
    assert ipld_car("filter", "--append", archive, out, stdin=some + b"\n\n" + SOME[0].encode()).err == ""
    assert ipld_car("list", out).lines == [V1_ROOT, *SOME]
    assert ipld_car("filter", "--json", archive, tmp_path / "4", stdin=some).json == [{"roots": [], "blocks": 3}]
    again = ipld_car("filter", "--json", "--append", archive, out, stdin=some)
    assert again.json == [{"roots": [V1_ROOT], "blocks": 4}]
    assert ipld_car("verify", "--partial", out).lines[-1].startswith("good: CARv2, 4 blocks, 0 bad, 1 root")
    (tmp_path / "cids").write_bytes(some)
    ipld_car("filter", "--inverse", "--version", 1, "--cid-file", tmp_path / "cids", archive, out)
    assert outcome(out.read_bytes()).version == 1
    assert len(ipld_car("list", out).lines) == 1046
    assert "line 2" in ipld_car("filter", archive, out, stdin=some.replace(b"\n", b"\nx"), code=2).err
    assert "found a CARv1" in ipld_car("filter", "--append", archive, out, stdin=some, code=2).err
    assert "standard input has either" in ipld_car("filter", "-", out, code=2).err
    assert len(ipld_car("list", out).lines) == 1046


# -- concat, merge, split ------------------------------------------------------------------------------


def test_concat_keeps_everything_and_merge_each_once(ipld_car: Run, tmp_path: Path) -> None:
    a, b = tmp_path / "a.car", tmp_path / "b.car"
    a.write_bytes(car_v1(*MIXED[:3], roots=[cid(b"hello")]))
    b.write_bytes(car_v2(car_v1(*MIXED[2:], MIXED[2], roots=[cid(b"again"), cid(b"hello")])))
    joined = ipld_car("concat", a, b).out
    assert joined == car_v1(*MIXED[:3], *MIXED[2:], MIXED[2], roots=[cid(b"hello")])
    merged = ipld_car("merge", "--version", 1, a, b).out
    assert merged == car_v1(*MIXED, roots=[cid(b"hello"), cid(b"again")])
    ipld_car("merge", a, b, "-o", tmp_path / "m.car")
    assert ipld_car("verify", tmp_path / "m.car").text.startswith("good: CARv2, 6 blocks, 0 bad, 2 roots, complete")
    assert outcome((tmp_path / "m.car").read_bytes()).blocks
    assert ipld_car("concat", "-", b, stdin=a.read_bytes()).out == joined
    ipld_car("merge", a, b, "-o", a)  # over one of them
    assert [each.cid_bytes for each in CarReader(a.read_bytes())] == [each.cid_bytes for each in CarReader(merged)]
    b.write_bytes(SMALL_V1[:-1] + b"!")
    told = ipld_car("merge", a, b, "-o", a, code=1)
    assert f"{b}: expected bytes with the hash of" in told.err
    assert [each.cid_bytes for each in CarReader(a.read_bytes())] == [each.cid_bytes for each in CarReader(merged)]


def test_split_and_join(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    archive = fixtures / "go-car-v2/sample-v1.car"
    told = ipld_car("split", "--size", "100kB", "--json", archive, f"{tmp_path}/part-").json
    parts = [Path(each["path"]) for each in told]
    assert [part.name for part in parts] == [f"part-{number:04}.car" for number in range(5)]
    for part, each in zip(parts, told, strict=True):
        found = outcome(part.read_bytes())
        assert found.error is None
        assert [text(root) for root in found.roots] == [V1_ROOT]
        assert len(found.blocks) == each["blocks"]
        assert part.stat().st_size == each["size"] <= 100_000
    assert ipld_car("merge", "--version", 1, *parts).out == archive.read_bytes()
    assert "is there already" in ipld_car("split", "--size", "100kB", archive, f"{tmp_path}/part-", code=2).err
    too_small = ipld_car("split", "--size", "1000", archive, f"{tmp_path}/small-", code=2).err
    assert "expected parts that hold block" in too_small
    assert "100MB or 2GiB" in ipld_car("split", "--size", "much", archive, code=2).err
    assert sorted(path.name for path in tmp_path.iterdir()) == [part.name for part in parts]


@pytest.mark.parametrize("size", [18 + 97, 18 + 2 * 97, 18 + 3 * 97 - 1, 1 << 20])
def test_parts_are_as_full_as_can_be(size: int, ipld_car: Run, tmp_path: Path) -> None:
    blocks = [section(bytes([number]) * 60) for number in range(6)]  # of 97 bytes each
    archive = car_v1(*blocks)
    header = len(archive) - 6 * 97
    room = (size - header) // 97
    (tmp_path / "a.car").write_bytes(archive)
    ipld_car("split", "--size", size, tmp_path / "a.car", cwd=tmp_path)
    parts = sorted(tmp_path.glob("a-*.car"))
    counts = [len(list(CarReader(part.read_bytes()))) for part in parts]
    assert counts == [min(room, 6 - at) for at in range(0, 6, room)]


def test_a_bad_block_leaves_no_parts(ipld_car: Run, tmp_path: Path) -> None:
    blocks = [section(os.urandom(500)) for _ in range(9)] + [section(b"good")[:-4] + b"evil"]
    told = ipld_car("split", "--size", "1200", "-", f"{tmp_path}/p", stdin=car_v1(*blocks), code=1)
    assert "expected bytes with the hash of" in told.err
    assert list(tmp_path.iterdir()) == []


# -- diff ----------------------------------------------------------------------------------------------


def test_diff(ipld_car: Run, tmp_path: Path) -> None:
    a, b = tmp_path / "a.car", tmp_path / "b.car"
    a.write_bytes(car_v1(*MIXED[:4], roots=[cid(b"hello")]))
    b.write_bytes(car_v2(car_v1(*reversed(MIXED[1:]))))
    names = [text(name) for name, _, _ in outcome(SMALL_V1).blocks]
    expected = [f"- root {names[0]}", f"- {names[0]}", f"+ {names[5]}", f"+ {names[4]}"]
    assert ipld_car("diff", a, b).lines == expected
    assert ipld_car("diff", "--exit-code", a, b, code=1).lines == expected
    assert ipld_car("diff", "--exit-code", a, "-", stdin=a.read_bytes()).lines == []
    assert ipld_car("diff", "--json", a, b).json[-1] == {"change": "+", "block": names[4], "old": None, "new": names[4]}


def test_diff_of_paths(ipld_car: Run, tmp_path: Path) -> None:
    old, new = Tree(), Tree()
    for tree, words, extra in ((old, b"old", "gone"), (new, b"new", "come")):
        root = tree.folder(tree.file(b"same", "same"), tree.file(words, "changed"), tree.file(b"x", extra))
        (tmp_path / f"{words.decode()}.car").write_bytes(tree.car(root))
    assert ipld_car("diff", "--unixfs", tmp_path / "old.car", tmp_path / "new.car").lines == [
        "~ changed",
        "- gone",
        "+ come",
    ]
