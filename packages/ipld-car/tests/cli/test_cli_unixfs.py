"""``ipld-car create``, ``extract`` and ``cat``: files go in and come out, nowhere but where they were asked to."""

import os
import random
import socket
import stat
from pathlib import Path

import pytest
from ipld_car import CarReader, MalformedError, cids, unixfs, walk_binary
from ipld_car.ops import RefusedError, create, extract
from ipld_car.ops.extraction import is_safe_link
from ipld_car.terminal.testing import Run

from ..support.car_samples import outcome
from ..support.cli_samples import Tree, text


def grown(folder: Path) -> Path:
    """A folder with all that a folder may have."""
    folder.mkdir()
    (folder / "a.txt").write_text("a\n")
    (folder / "again.txt").write_text("a\n")
    (folder / "empty").write_bytes(b"")
    (folder / "large").write_bytes(random.Random(1).randbytes((2 << 20) + 17))
    (folder / ".hidden").write_text("h")
    (folder / "nothing").mkdir()
    (folder / "ünï code").mkdir()
    (folder / "ünï code" / "deep").mkdir()
    (folder / "ünï code" / "deep" / "up").symlink_to("../../a.txt")
    (folder / "down").symlink_to("ünï code/deep")
    return folder


def contents(folder: Path) -> dict[str, object]:
    """All that is below a folder: bytes of files, targets of links, None for folders."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = ("->", str(path.readlink()))
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


# -- create ------------------------------------------------------------------------------------------


def test_a_folder_goes_in_and_comes_out(ipld_car: Run, tmp_path: Path) -> None:
    source = grown(tmp_path / "source")
    car = tmp_path / "out.car"
    (root,) = ipld_car("create", "-f", car, source).lines
    assert ipld_car("root", car).lines == [root]
    assert ipld_car("verify", car).text.startswith("good: CARv2")
    told = ipld_car("extract", "-f", car, "-o", tmp_path / "back")
    assert told.err == "extracted 7 file(s)\n"
    assert contents(tmp_path / "back" / "source") == contents(source)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "something is left behind"
    assert stat.S_IMODE(car.stat().st_mode) == 0o666 & ~umask()
    assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o777 & ~umask()


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_archives_are_depth_first_from_the_root_each_block_once(ipld_car: Run, tmp_path: Path) -> None:
    """Whether they go to a file or into a pipe, and whatever the order of the names on the disk."""
    source = grown(tmp_path / "source")
    made = ipld_car("create", "--version", 1, "-o", "-", source)
    (root,) = made.err.splitlines()
    found = outcome(made.out)
    blocks = {name: data for name, data, _ in found.blocks}
    assert len(blocks) == len(found.blocks)
    assert [text(name) for name in map(bytes, found.roots)] == [root]
    assert [name for name, _ in walk_binary(blocks.__getitem__, found.roots[0])] == list(blocks)
    assert ipld_car("unwrap", stdin=ipld_car("create", "-o", "-", source).out).out == made.out


def test_flags_change_what_they_say(ipld_car: Run, tmp_path: Path) -> None:
    source = grown(tmp_path / "source")
    large = source / "large"
    data = large.read_bytes()
    blocks: dict[bytes, bytes] = {}
    whole = text(unixfs.build(data, blocks.__setitem__))
    assert ipld_car("create", "-f", tmp_path / "l.car", "--no-wrap", large).lines == [whole]
    small = text(unixfs.build(data, blocks.__setitem__, chunk_size=262144, max_links=3))
    flags = ["--chunker=size-262144", "--max-file-links=3", "--no-wrap"]
    assert ipld_car("create", "-f", tmp_path / "s.car", *flags, large).lines == [small]
    assert ipld_car("create", "-f", tmp_path / "p.car", "--no-wrap", "-", stdin=data).lines == [whole]
    told = ipld_car("create", "-f", tmp_path / "n.car", "--json", "--stdin-name=x", "-", source / "a.txt", stdin=data)
    assert [line.get("path") for line in told.json] == ["x", "a.txt", "", None]
    assert told.json[0] == {"path": "x", "cid": whole, "size": len(data)}
    assert ipld_car("list", "--unixfs", tmp_path / "n.car").lines == ["a.txt", "x"]
    ipld_car("create", "-f", tmp_path / "h.car", "--no-hidden", "--no-wrap", source)
    assert ".hidden" not in ipld_car("list", "--unixfs", tmp_path / "h.car").lines
    assert "takes one SOURCE" in ipld_car("create", "-f", "-", "--no-wrap", large, large, code=2).err
    assert "found 'large' again" in ipld_car("create", "-f", "-", large, large, code=2).err
    assert "size-1 to size-1048576" in ipld_car("create", "-f", "-", "--chunker=rabin", large, code=2).err


@pytest.mark.slow
def test_a_large_folder_is_sharded_and_comes_out(ipld_car: Run, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(3000):
        (source / f"{number:060}").write_bytes(b"")
    car = tmp_path / "many.car"
    ipld_car("create", "-f", car, "--no-wrap", source)
    assert len(ipld_car("list", car).lines) > 250
    assert ipld_car("extract", "-f", car, "-o", tmp_path / "back").err == "extracted 3000 file(s)\n"
    assert contents(tmp_path / "back") == contents(source)


def test_what_is_no_file_is_refused_and_nothing_is_written(ipld_car: Run, tmp_path: Path) -> None:
    source = grown(tmp_path / "source")
    car = tmp_path / "out.car"
    car.write_bytes(b"what was there")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "socket"))
        assert "expected a file, a folder or a symbolic link" in ipld_car("create", "-f", car, source, code=2).err
    (source / "socket").unlink()
    (source / os.fsdecode(b"\xff")).write_bytes(b"")
    assert "in UTF-8" in ipld_car("create", "-f", car, source, code=2).err
    assert "No such file" in ipld_car("create", "-f", car, tmp_path / "none", code=2).err
    assert car.read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.car", "source"]


def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(RefusedError, match="has changed while it was read"):
        create(tmp_path / "a.car", [tmp_path / "file"], on_added=lambda _: (tmp_path / "file").write_text("behind"))
    assert everything(tmp_path) == {"file"}


def test_the_archive_does_not_hold_itself(ipld_car: Run, tmp_path: Path) -> None:
    source = grown(tmp_path / "source")
    first = ipld_car("create", "-f", "out.car", ".", cwd=source).lines
    assert ipld_car("create", "-f", "out.car", ".", cwd=source).lines == first
    assert "source/out.car" not in ipld_car("list", "--unixfs", source / "out.car").lines


# -- extract: archives of other programs ---------------------------------------------------------------


def test_archives_of_go_car(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    """The cases of go-car's own script test of extract."""
    car = fixtures / "go-car-cmd/simple-unixfs.car"
    names = ["a/1/A", "a/2/B", "a/3/C", "b/4/D", "b/5/E", "b/6/F", "c/7/G", "c/8/H", "c/9/I"]

    def files(folder: str) -> dict[str, object]:
        return {name: data for name, data in contents(tmp_path / folder).items() if data is not None}

    def expected(*names: str) -> dict[str, object]:
        return {f"{name}.txt": name.replace("/", "").encode() + b"\n" for name in names}

    assert ipld_car("extract", "-f", car, "-o", tmp_path / "full").err == "extracted 9 file(s)\n"
    assert files("full") == expected(*names)
    ipld_car("extract", "-f", "-", "-o", tmp_path / "stdin", stdin=car.read_bytes())
    assert files("stdin") == expected(*names)
    told = ipld_car("x", "-v", "-f", car, "-o", tmp_path / "some", "/a", "b/6", "/c/7/G.txt").err.splitlines()
    assert told == ["/a/1/A.txt", "/a/2/B.txt", "/a/3/C.txt", "/b/6/F.txt", "/c/7/G.txt", "extracted 5 file(s)"]
    assert files("some") == expected(*names[:3], "b/6/F", "c/7/G")
    assert "no entry 'z'" in ipld_car("extract", "-f", car, "-o", tmp_path / "none", "a/z", code=1).err
    assert "expected a name" in ipld_car("extract", "-f", car, "-o", tmp_path / "none", "../a", code=1).err
    assert not (tmp_path / "none").exists()


def test_missing_blocks_are_told_and_the_rest_is_there(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    car = fixtures / "go-car-cmd/simple-unixfs-missing-blocks.car"
    told = ipld_car("extract", "-f", car, "-o", tmp_path / "out", code=1)
    assert told.err.splitlines() == [
        "data for entry not found: /b/4 (skipping...)",
        "data for entry not found: /b/5/E.txt (skipping...)",
        "data for entry not found: /b/6 (skipping...)",
        "extracted 6 file(s), skipped 3",
    ]
    found = contents(tmp_path / "out")
    assert len([data for data in found.values() if data is not None]) == 6
    assert found["b/5"] is None
    assert "b/4" not in found
    lines = ipld_car("extract", "--partial", "--json", "-f", car, "-o", tmp_path / "again").json
    assert [line["path"] for line in lines if line.get("missing")] == ["/b/4", "/b/5/E.txt", "/b/6"]
    assert lines[0] == {"path": "/a/1/A.txt", "cid": lines[0]["cid"], "size": 4}
    assert "no files extracted" in ipld_car("extract", "-f", car, "-o", tmp_path / "b", "b", code=1).err
    assert not (tmp_path / "b").exists()


def test_a_sharded_directory_with_holes(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    car = fixtures / "go-car-cmd/wikipedia-cryptographic-hash-function.car"
    path = "wiki/Cryptographic_hash_function"
    whole = ipld_car("extract", "-f", car, "-o", "-", path)
    assert whole.text.count("<title>Cryptographic hash function</title>") == 1
    assert whole.err == "extracted 1 file(s)\n"
    assert ipld_car("cat", car, path).out == whole.out
    assert ipld_car("cat", "--offset", 1000, "--length", 50, car, path).out == whole.out[1000:1050]
    told = ipld_car("extract", "-f", car, "-o", tmp_path / "out", code=1).err.splitlines()
    assert "data for entry not found: /favicon.ico (skipping...)" in told
    assert "data for entry not found for 570 unknown sharded entries (skipped...)" in told
    assert (tmp_path / "out" / path).read_bytes() == whole.out


def test_an_archive_without_roots(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    car = fixtures / "ipfs-car/comic-no-roots.car"
    ipld_car("extract", "-f", car, "-o", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pinpie.jpg", "youareanonsense.jpg"]
    assert ipld_car("root", car).lines == []
    assert ipld_car("root", "--implicit", car).lines == ["bafybeibkzf4twp5vs4v7qkvgg5vytqg7l4a46agerv6bqfvoefrol2pdcq"]


def test_a_root_that_is_a_file(ipld_car: Run, fixtures: Path, tmp_path: Path) -> None:
    car = fixtures / "ipfs-car/pinpie.car"
    (root,) = ipld_car("root", car).lines
    ipld_car("extract", "-f", car, "-o", tmp_path)
    assert (tmp_path / root).read_bytes() == ipld_car("cat", car).out == ipld_car("cat", car, root).out


# -- extract: hostile archives -------------------------------------------------------------------------


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def extract_here(archive: bytes, folder: Path) -> None:
    """Do what the command does, without a process for each case."""
    extract(archive, folder, max_entries=1000)


@pytest.mark.parametrize("name", ["..", "../out", "/abs", "a/../../out", ".", "", "a\0b"])
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    """Such a name in a folder below is refused too, and then no file is written."""
    tree = Tree()
    good, bad = tree.file(b"good", "first"), tree.file(b"evil", name)
    archive = tree.car(tree.folder(good, tree.folder(good, bad, name="sub")))
    for folder in (tmp_path / "in", tmp_path):
        with pytest.raises(MalformedError, match="expected a name of a directory entry"):
            extract_here(archive, folder)
        assert everything(tmp_path) == set()


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../..", "../../x", "a/../../..", "sub/../x", "", "./../..", "x/..", "a\0b"]
)
def test_links_that_lead_out_are_refused(target: str, tmp_path: Path) -> None:
    tree = Tree()
    root = tree.folder(tree.file(b"good", "first"), tree.folder(tree.link(target, "evil"), name="sub"))
    with pytest.raises(MalformedError, match="expected a symbolic link that stays in the folder"):
        extract_here(tree.car(root), tmp_path)
    assert everything(tmp_path) == set()


def test_hostile_archives_as_a_process(ipld_car: Run, tmp_path: Path) -> None:
    tree = Tree()
    evil = [tree.file(b"evil", "../evil"), tree.file(b"evil", "/evil"), tree.link("../../etc", "evil")]
    for link in evil:
        archive = tree.car(tree.folder(tree.file(b"good", "a"), link))
        for stdin, file in ((archive, "-"), (b"", tmp_path / "evil.car")):
            (tmp_path / "evil.car").write_bytes(archive)
            told = ipld_car("extract", "-f", file, "-o", tmp_path / "out", stdin=stdin, code=1)
            assert told.err.startswith("ipld-car: ")
            assert everything(tmp_path) == {"evil.car"}


def test_which_links_are_good() -> None:
    for names, target in (
        (("a",), "b"),
        (("a",), "b/c"),
        (("a",), "./b//c/"),
        (("d", "a"), "../b"),
        (("d", "a"), ".."),
        (("d", "e", "a"), "../../b/c"),
        (("a",), "..."),
    ):
        assert is_safe_link(names, target)
    for names, target in ((("a",), "../b"), (("d", "a"), "../../b"), (("d", "e", "a"), "../b/../../..")):
        assert not is_safe_link(names, target)


def test_nothing_is_written_through_a_link(ipld_car: Run, tmp_path: Path) -> None:
    """A link and a folder of one name, as in CVE-2018-20990 and its like; and one that was there before."""
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = Tree()
    folder = tree.folder(tree.file(b"evil", "file"), name="d")
    twice = tree.folder(tree.link("sub", "d"), folder)
    told = ipld_car("extract", "-f", "-", "-o", tmp_path / "out", stdin=tree.car(twice), code=1)
    assert "found 'd' again" in told.err
    two_roots = tree.car(tree.folder(tree.link("sub", "d")), tree.folder(folder))
    assert "once, found /d again" in ipld_car("extract", "-f", "-", "-o", tmp_path / "out", stdin=two_roots, code=1).err
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "d").symlink_to(outside)
    archive = tree.car(tree.folder(folder))
    told = ipld_car("extract", "--force", "-f", "-", "-o", tmp_path / "out", stdin=archive, code=2)
    assert "is there already" in told.err
    assert everything(outside) == set()


def test_a_bad_block_leaves_nothing(ipld_car: Run, tmp_path: Path) -> None:
    tree = Tree()
    files = [tree.file(b"data of %d" % number * 100, f"{number}") for number in range(5)]
    archive = tree.car(tree.folder(*files))
    damaged = archive.replace(b"data of 4", b"DATA of 4", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0").write_bytes(b"mine")
    told = ipld_car("extract", "--force", "-f", "-", "-o", tmp_path / "out", stdin=damaged, code=1)
    assert "expected bytes with the hash of" in told.err
    assert contents(tmp_path / "out") == {"0": b"mine"}
    assert "and then the end" in ipld_car("extract", "-f", "-", "-o", tmp_path / "x", stdin=archive[:-1], code=1).err
    assert not (tmp_path / "x").exists()


def test_files_that_are_there_stay_unless_told(ipld_car: Run, tmp_path: Path) -> None:
    tree = Tree()
    archive = tree.car(tree.folder(tree.file(b"new", "a"), tree.folder(tree.file(b"b", "b"), name="sub")))
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "sub" / "c").write_bytes(b"c")
    (out / "a").write_bytes(b"old")
    told = ipld_car("extract", "-f", "-", "-o", out, stdin=archive, code=2)
    assert "is there already" in told.err
    assert "--force" in told.err
    assert contents(out) == {"a": b"old", "sub": None, "sub/c": b"c"}
    ipld_car("extract", "--force", "-f", "-", "-o", out, stdin=archive)
    assert contents(out) == {"a": b"new", "sub": None, "sub/b": b"b", "sub/c": b"c"}


def test_a_few_blocks_that_stand_for_too_much(ipld_car: Run, tmp_path: Path) -> None:
    """Directories in each other, 2^30 files and a folder 300 deep; and a file larger than any disk."""
    tree = Tree()
    wide = tree.folder(tree.file(b"x", "x"))
    for _ in range(30):
        wide = tree.folder(wide._replace(name="a"), wide._replace(name="b"))
    told = ipld_car("extract", "--max-entries", 500, "-f", "-", "-o", tmp_path, stdin=tree.car(wide), code=1)
    assert "expected at most 500 entries" in told.err
    tree = Tree()
    deep = tree.folder()
    for _ in range(300):
        deep = tree.folder(deep._replace(name="d"))
    told = ipld_car("extract", "-f", "-", "-o", tmp_path, stdin=tree.car(deep), code=1)
    assert "nested at most 256 deep" in told.err
    tree = Tree()
    huge = unixfs.build(bytes(1 << 20), tree.blocks.__setitem__)
    size = 1 << 20
    for _ in range(4):
        huge, size = node_of(tree, huge, size)
    root = tree.folder(unixfs.PBLink(huge, "huge", 0))
    told = ipld_car("extract", "-f", "-", "-o", tmp_path, stdin=tree.car(root), code=2)
    assert f"expected room for {size} bytes" in told.err
    assert everything(tmp_path) == set()


def node_of(tree: Tree, child: bytes, size: int) -> tuple[bytes, int]:
    from ipld_car import dagpb

    from ..support.car_samples import cid

    fields = [(1, 2), (3, size * 1024), *[(4, size)] * 1024]
    block = dagpb.encode([unixfs.PBLink(child, "", 0)] * 1024, b"".join(dagpb.encode_field(*each) for each in fields))
    tree.blocks[cid(block, "dag-pb")] = block
    return cid(block, "dag-pb"), size * 1024


# -- cat -----------------------------------------------------------------------------------------------


def test_cat(ipld_car: Run, tmp_path: Path) -> None:
    source = grown(tmp_path / "source")
    car = tmp_path / "out.car"
    (root,) = ipld_car("create", "-f", car, source).lines
    data = (source / "large").read_bytes()
    assert ipld_car("cat", car, "source/large").out == data
    assert ipld_car("cat", car, f"/ipfs/{root}/source/large", "--offset", 1 << 20).out == data[1 << 20 :]
    assert ipld_car("cat", "-", "source/a.txt", stdin=car.read_bytes()).out == b"a\n"
    assert "found a directory" in ipld_car("cat", car, "source", code=1).err
    assert "found a symlink" in ipld_car("cat", car, "source/down", code=1).err
    assert "no entry 'none'" in ipld_car("cat", car, "source/none", code=1).err
    assert "found no entry 'x'" in ipld_car("cat", car, "source/a.txt/x", code=1).err
    leaves = [block for block in CarReader(car.read_bytes()) if len(block.data) == 1 << 20]
    ipld_car("filter", "--inverse", "--cid-file", "-", car, tmp_path / "less.car", stdin=str(leaves[1].cid).encode())
    target = tmp_path / "to"
    told = ipld_car("cat", "-o", target, tmp_path / "less.car", "source/large", code=1)
    assert f"{leaves[1].cid} of the file: the archive does not have it" in told.err
    assert not target.exists()
    assert ipld_car("cat", tmp_path / "less.car", "source/large", "--length", 100).out == data[:100]
    assert cids.to_bytes(root)
