"""What verbs say of archives with several roots, with holes, and of more paths than there is memory; what they keep."""

from collections import Counter
from pathlib import Path

import pytest
from ipld_car.terminal.testing import Run

from ..support.car_samples import MIXED, SMALL_V1, SMALL_V2, cid
from ..support.cli_samples import Tree, text

# -- outputs that are inputs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["filter --cid-file cids o.car o.car", "get-dag o.car o.car", "concat a.car o.car -o o.car"]
)
def test_an_input_is_not_overwritten_with_less(line: str, ipld_car: Run, tmp_path: Path) -> None:
    """By whatever name; what is appended to keeps all it has."""
    archive = tmp_path / "o.car"
    archive.write_bytes(SMALL_V1)
    (tmp_path / "a.car").write_bytes(SMALL_V2)
    (tmp_path / "cids").write_text(text(cid(b"again")))
    (tmp_path / "link").symlink_to("o.car")
    for words in (line.split(), [*line.split()[:-1], "link"]):
        assert "nothing is written over it" in ipld_car(*words, cwd=tmp_path, code=2).err
        assert archive.read_bytes() == SMALL_V1
    ipld_car("wrap", "o.car", "o.car", cwd=tmp_path)
    ipld_car("filter", "--append", "--cid-file", "cids", "o.car", "o.car", cwd=tmp_path)
    assert len(ipld_car("list", archive).lines) == len(MIXED)


# -- paths: what is missing ----------------------------------------------------------------------------


def test_a_list_says_what_is_missing(ipld_car: Run, fixtures: Path) -> None:
    """Blocks of files, be they leaves or not, and shards of directories, in both formats."""
    car = fixtures / "go-car-cmd/simple-unixfs-missing-blocks.car"
    told = ipld_car("list", "--unixfs", car)
    assert len(told.lines) == 19
    assert told.err.splitlines() == [f"data for entry not found: /{path}" for path in ("b/4", "b/5/E.txt", "b/6")]
    car = fixtures / "go-car-cmd/wikipedia-cryptographic-hash-function.car"
    told = ipld_car("list", "--unixfs", car)
    assert "index.html" in told.lines
    assert "data for entry not found: /index.html" in told.err.splitlines()
    assert told.err.splitlines()[-1] == "data for entry not found for 570 unknown sharded entries"
    as_json = ipld_car("list", "--unixfs", "--json", car)
    assert as_json.err == ""
    kinds = Counter(line["kind"] for line in as_json.json)
    assert kinds["missing shard"] == 570
    assert kinds["missing"] == told.err.count("data for entry not found: /")
    assert kinds.total() - 570 == len(told.lines)
    assert {line["path"] for line in as_json.json if line["kind"] == "missing shard"} <= {"I", "wiki", ""}


# -- diff of paths -------------------------------------------------------------------------------------


def test_diff_says_what_is_not_known(ipld_car: Run, fixtures: Path) -> None:
    folder = fixtures / "go-car-cmd"
    car = folder / "wikipedia-cryptographic-hash-function.car"
    told = ipld_car("diff", "--unixfs", car, car)
    assert told.out == b""
    assert told.err.count(f"{car}: data for entry not found for 570 unknown sharded entries\n") == 2
    whole, holes = folder / "simple-unixfs.car", folder / "simple-unixfs-missing-blocks.car"
    told = ipld_car("diff", "--unixfs", whole, holes)
    assert told.lines == ["- b/4/D.txt", "- b/6/F.txt"]
    assert f"{holes}: data for entry not found, nor what is below it: /b/4\n" in told.err


def test_diff_of_more_paths_than_there_is_memory(ipld_car: Run, tmp_path: Path) -> None:
    """Two links in each of 31 folders make 2^31 paths; fewer, but longer ones take as much."""
    tree = Tree()
    wide = tree.file(b"x", "x")
    for _ in range(31):
        wide = tree.folder(wide._replace(name="a"), wide._replace(name="b"))
    (tmp_path / "wide.car").write_bytes(tree.car(wide))
    (tmp_path / "none.car").write_bytes(tree.car(tree.folder()))
    limit = ["diff", "--unixfs", "--max-entries", 5000]
    told = ipld_car(*limit, "none.car", "wide.car", cwd=tmp_path, code=1)
    assert "wide.car: expected at most 5000 entries" in told.err
    names = [f"{number}{'x' * 2000}" for number in range(4000)]
    (tmp_path / "long.car").write_bytes(tree.car(tree.folder(*[wide._replace(name=name) for name in names])))
    assert "long.car: expected at most 5000" in ipld_car(*limit, "long.car", "none.car", cwd=tmp_path, code=1).err


def two_roots(folder: Path) -> tuple[str, str]:
    """Archives of a folder, of another one, and of both, whose roots' CIDs are returned."""
    tree = Tree()
    below = tree.folder(tree.file(b"same", "same"), tree.file(b"x", "x"), name="d")
    first = tree.folder(tree.file(b"1", "c"), below, tree.file(b"one", "one"))
    second = tree.folder(tree.file(b"2", "c"), below, tree.file(b"two", "two"))
    for name, roots in (("r1", [first]), ("r2", [second]), ("r12", [first, second])):
        (folder / f"{name}.car").write_bytes(tree.car(*roots))
    return text(first.cid), text(second.cid)


def test_diff_of_paths_below_several_roots(ipld_car: Run, tmp_path: Path) -> None:
    """One root does not hide another: what is still there is no difference, wherever it is."""
    two_roots(tmp_path)
    for a, b, expected in (
        ("r1", "r12", ["+ c", "+ two"]),
        ("r12", "r2", ["- c", "- one"]),
        ("r1", "r2", ["~ c", "- one", "+ two"]),
        ("r12", "r12", []),
    ):
        assert ipld_car("diff", "--unixfs", f"{a}.car", f"{b}.car", cwd=tmp_path).lines == expected
    tree = Tree()
    (tmp_path / "r3.car").write_bytes(tree.car(tree.folder(tree.file(b"3", "c"))))
    lines = ipld_car("diff", "--unixfs", "--json", "r12.car", "r3.car", cwd=tmp_path).json
    olds = [text(cid(b"1")), text(cid(b"2"))]
    assert [(each["change"], each["old"], each["new"]) for each in lines if each["path"] == "c"] == [
        ("~", olds[0], text(cid(b"3"))),
        ("-", olds[1], None),
    ]


def test_diff_says_which_archive_is_bad(ipld_car: Run, tmp_path: Path) -> None:
    (tmp_path / "a.car").write_bytes(SMALL_V1)
    (tmp_path / "b.car").write_bytes(SMALL_V1[:-1])
    for names in (("a.car", "b.car"), ("b.car", "a.car")):
        assert ipld_car("diff", *names, cwd=tmp_path, code=1).err.startswith("ipld-car: b.car: expected")
    tree = Tree()
    root = tree.folder(tree.file(b"x", "x"))
    (tmp_path / "a.car").write_bytes(tree.car(root))
    (tmp_path / "b.car").write_bytes(tree.car(root, without=(root.cid,)))
    told = ipld_car("diff", "--unixfs", "a.car", "b.car", cwd=tmp_path, code=1)
    assert told.err.startswith(f"ipld-car: b.car: expected block {text(root.cid)} as root")


# -- extract of several roots --------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_root_that_is_missing_is_told_once(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    car = fixtures / "ipfs-car/multi-root.car"
    told = ipld_car("extract", "--json", "-f", car, "-o", tmp_path / "out", code=1)
    (_, root) = ipld_car("root", car).lines
    assert [line for line in told.json if line.get("missing")] == [{"path": f"/{root}", "cid": root, "missing": True}]
    assert told.err == "extracted 1 file(s), skipped 1\n"


def test_a_path_is_below_one_root_at_least(ipld_car: Run, tmp_path: Path) -> None:
    first, second = two_roots(tmp_path)

    def extracted(*paths: str) -> dict[str, bytes]:
        name = "+".join(paths).replace("/", "_")
        ipld_car("extract", "-f", "r12.car", "-o", name, *paths, cwd=tmp_path)
        return files(tmp_path / name)

    below = {"d/same": b"same", "d/x": b"x"}
    assert extracted("one", "two") == {"one": b"one", "two": b"two"}
    assert extracted("d/x", "d") == below, "what both have, and both paths have"
    assert extracted(second) == {"c": b"2", "two": b"two", **below}
    assert extracted(f"{second}/c", "one", f"/ipfs/{first}/d") == {"c": b"2", "one": b"one", **below}
    told = ipld_car("extract", "-f", "r12.car", "-o", "x", "one", "none", cwd=tmp_path, code=1)
    assert f"expected 'none' below {first}, found no entry 'none'" in told.err
    for paths in ([], ["c"]):
        told = ipld_car("extract", "-f", "r12.car", "-o", "x", *paths, cwd=tmp_path, code=1)
        assert "found /c again with another CID" in told.err
        assert "say at which CID to begin" in told.err
    assert not (tmp_path / "x").exists()
    assert ipld_car("extract", "-f", "r12.car", "-o", "-", f"{second}/c", cwd=tmp_path).out == b"2"


def test_a_file_and_a_folder_of_one_name(ipld_car: Run, tmp_path: Path) -> None:
    tree = Tree()
    file, folder = tree.file(b"file", "d"), tree.folder(tree.file(b"x", "x"), name="d")
    for roots, paths in (([file, folder], []), ([folder, file], []), ([file, folder], ["d", "d/x"])):
        archive = tree.car(*[tree.folder(each) for each in roots])
        told = ipld_car("extract", "-f", "-", "-o", tmp_path / "out", *paths, stdin=archive, code=1)
        assert "expected each path once, found /d" in told.err
    assert not (tmp_path / "out").exists()
