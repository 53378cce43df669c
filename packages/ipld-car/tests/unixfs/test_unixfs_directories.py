"""UnixFS directories: built as Kubo builds them, read plain and sharded, and hostile ones give an error."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, LimitError, MalformedError, cids, dagpb, unixfs
from ipld_car.unixfs import Kind, PBLink
from ipld_car.unixfs.hamt import name_hash

from ..support.car_samples import cid, matches, outcome

pytestmark = pytest.mark.smoke

Blocks = dict[bytes, bytes]
LEAF = cid(b"leaf")
EMPTY = cid(b"")


def put(blocks: Blocks, links: list[PBLink], message: bytes) -> bytes:
    block = dagpb.encode(links, message)
    name = cid(block, "dag-pb")
    blocks[name] = block
    return name


def links_to(target: bytes, names: list[str], size: int = 4) -> list[PBLink]:
    return [PBLink(target, name, size) for name in names]


# -- building --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "count", "blocks", "text"),
    [
        # Folders of empty files, by `ipfs add -Qr --only-hash --cid-version=1` of Kubo 0.43.0. The second and the
        # third are next to each other: 4854 * (18 + 36) bytes of names and CIDs are 262116, 28 less than 256 KiB.
        ("{}", 0, 1, "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"),
        ("{:018d}", 4854, 1, "bafybeia3u47dphkhnn3izlitoxmbjm2hdcynk6xgi2fs5vbwqfn4lkkar4"),
        ("{:018d}", 4855, 443, "bafybeiaqxci63raxcx7gyq6y4k2gjzvhcltuvvv2sbkaocapchwvhgz5ki"),
        ("é" * 110 + "{}", 1100, 249, "bafybeigmyjpok4kgj7w53ope2artlnilpvx3ihvi4rdouzuqj4v3ayn7v4"),
    ],
)
def test_cids_are_those_of_kubo(form: str, count: int, blocks: int, text: str) -> None:
    made: Blocks = {}
    entries = [PBLink(EMPTY, form.format(number), 0) for number in range(count)]
    random.shuffle(entries)
    assert cids.to_text(unixfs.build_directory(entries, made.__setitem__).cid) == text
    assert len(made) == blocks


def test_a_tree_of_kubo() -> None:
    """A large file, a symbolic link, a folder and an empty folder, with the sizes in their links."""
    blocks: Blocks = {}

    def file(data: bytes) -> unixfs.Tree:
        return unixfs.build_stream(io.BytesIO(data), blocks.__setitem__)

    def directory(entries: dict[str, unixfs.Tree]) -> unixfs.Tree:
        links = [PBLink(tree.cid, name, tree.graph_size) for name, tree in entries.items()]
        return unixfs.build_directory(links, blocks.__setitem__)

    sub = directory({"link": unixfs.build_symlink("../f1", blocks.__setitem__)})
    files = {f"f{number}": file(b"x") for number in range(3)}
    root = directory({**files, "sub": sub, "big": file(bytes(3 << 20)), "empty": directory({}), ".hidden": file(b"h")})
    # ipfs add -Qr --hidden --cid-version=1 --raw-leaves --chunker=size-1048576 --max-file-links=1024
    assert cids.to_text(root.cid) == "bafybeibolrbvjd5ifs4xtxpe6kq4ygqofzqov7c3zehr64lixfvqe4oube"
    assert all(matches(name, block) for name, block in blocks.items())
    get = blocks.__getitem__
    entries = {link.name: link.cid for link in unixfs.read_directory(get, root.cid)}
    assert list(entries) == [".hidden", "big", "empty", "f0", "f1", "f2", "sub"]
    kinds = [unixfs.kind_of(get, entries[name]) for name in ("big", "empty", "f0")]
    assert kinds == [Kind.FILE, Kind.DIRECTORY, Kind.FILE]
    link = unixfs.find_entry(get, sub.cid, "link")
    assert link
    assert unixfs.kind_of(get, link.cid) == "symlink"
    assert unixfs.read_symlink(get, link.cid) == "../f1"


@given(st.binary(max_size=120), st.integers(1, 5), st.integers(2, 4), st.integers(1, 7))
def test_a_stream_gives_the_file_that_its_bytes_give(data: bytes, chunk: int, links: int, step: int) -> None:
    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(step, size or 0))

    whole: Blocks = {}
    streamed: Blocks = {}
    root = unixfs.build(data, whole.__setitem__, chunk_size=chunk, max_links=links)
    tree = unixfs.build_stream(Dribble(data), streamed.__setitem__, chunk_size=chunk, max_links=links)
    assert (tree.cid, tree.file_size) == (root, len(data))
    assert streamed == whole
    assert b"".join(unixfs.read(streamed.__getitem__, root, max_depth=60)) == data


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
good_names = names.filter(lambda name: name not in (".", ".."))


@given(st.lists(good_names, unique=True, max_size=60), st.booleans())
def test_round_trip_of_directories(entries: list[str], sharded: bool) -> None:
    blocks: Blocks = {}
    given_links = [PBLink(cid(name.encode()), name, len(name)) for name in entries]
    above = 0 if sharded else unixfs.SHARD_ABOVE
    root = unixfs.build_directory(given_links, blocks.__setitem__, shard_above=above).cid
    get = blocks.__getitem__
    found = list(unixfs.read_directory(get, root))
    assert sorted(found) == sorted(given_links)
    if sharded:
        assert [link.name for link in found] == sorted(entries, key=name_hash)
    for link in given_links:
        assert unixfs.find_entry(get, root, link.name or "") == link
    assert unixfs.find_entry(get, root, "no such name here") is None
    assert unixfs.kind_of(get, root) is Kind.DIRECTORY


def test_find_entry_reads_only_the_shards_on_the_path() -> None:
    blocks: Blocks = {}
    root = unixfs.build_directory(links_to(LEAF, [str(n) for n in range(9000)]), blocks.__setitem__).cid
    asked = []

    def get(name: bytes) -> bytes:
        asked.append(name)
        return blocks[name]

    assert unixfs.find_entry(get, root, "4711") == PBLink(LEAF, "4711", 4)
    assert 2 <= len(asked) <= 3


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0b", "\ud800"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    blocks: Blocks = {}
    with pytest.raises(MalformedError, match="expected a name"):
        unixfs.build_directory(links_to(LEAF, ["good", name]), blocks.__setitem__)
    with pytest.raises(MalformedError, match="found 'twice' again"):
        unixfs.build_directory(links_to(LEAF, ["twice", "a", "twice"]), blocks.__setitem__)
    assert not blocks


def test_no_block_is_too_large() -> None:
    entries = links_to(LEAF, ["x" * 1000 + str(number) for number in range(1100)])
    blocks: Blocks = {}
    with pytest.raises(LimitError, match="at most 1048576 bytes, found 1100 links"):
        unixfs.build_directory(entries, blocks.__setitem__, shard_above=1 << 30)
    assert not blocks


# -- directories of other programs -----------------------------------------------------------------


def test_a_sharded_directory_of_wikipedia(fixtures: Path) -> None:
    """The archive has only the shards on the path to one article; the others are reported as missing."""
    found = outcome((fixtures / "go-car-cmd/wikipedia-cryptographic-hash-function.car").read_bytes())
    blocks = {name: data for name, data, _ in found.blocks}
    get = blocks.__getitem__
    wiki = unixfs.find_entry(get, found.roots[0], "wiki")
    assert wiki
    article = unixfs.find_entry(get, wiki.cid, "Cryptographic_hash_function")
    assert article
    text = b"".join(unixfs.read(get, article.cid))
    assert b"<title>Cryptographic hash function</title>" in text
    missing: list[bytes] = []
    listed = {link.name for link in unixfs.read_directory(get, wiki.cid, missing=missing.append)}
    assert "Cryptographic_hash_function" in listed
    assert len(missing) == 570  # as the script test of go-car says
    with pytest.raises(KeyError):
        list(unixfs.read_directory(get, wiki.cid))
    with pytest.raises(KeyError):
        unixfs.find_entry(get, wiki.cid, "Zebra")


# -- hostile directories ---------------------------------------------------------------------------


def directory(blocks: Blocks, *names: str) -> bytes:
    return put(blocks, links_to(LEAF, list(names)), b"\x08\x01")


def shard(blocks: Blocks, links: list[PBLink], *, bits: int | None = None, kind: int = 5, **other: int) -> bytes:
    if bits is None:
        bits = sum(1 << int((link.name or "")[:2], 16) for link in links)
    data = bits.to_bytes((bits.bit_length() + 7) // 8)
    fields: list[tuple[int, bytes | int]] = [(1, kind), (2, data)]
    fields += [(5, other.get("hash", 0x22)), (6, other.get("fanout", 256))]
    return put(blocks, links, b"".join(dagpb.encode_field(number, value) for number, value in fields))


def slot(name: str, level: int = 0) -> str:
    return f"{name_hash(name) >> 56 - 8 * level & 255:02X}"


def nested(blocks: Blocks, levels: int) -> bytes:
    """A chain of shards, each with the next in slot 00, down to an empty one."""
    root = shard(blocks, [])
    for _ in range(levels):
        root = shard(blocks, [PBLink(root, "00", 1)])
    return root


GOOD = slot("name") + "name"
LIES: dict[str, tuple[Callable[[Blocks], bytes], type[CarError], str]] = {
    "up": (lambda b: directory(b, "a", ".."), MalformedError, "found '..'"),
    "absolute": (lambda b: directory(b, "/etc/passwd"), MalformedError, "found '/etc/passwd'"),
    "nul": (lambda b: directory(b, "a\0b"), MalformedError, "found 'a\\x00b'"),
    "no name": (lambda b: directory(b, ""), MalformedError, "found ''"),
    "twice": (lambda b: directory(b, "a", "b", "a"), MalformedError, "found 'a' again"),
    "a file": (lambda b: put(b, [], b"\x08\x02"), MalformedError, "found a file"),
    "metadata": (lambda b: put(b, [], b"\x08\x03"), MalformedError, "found UnixFS type 3"),
    "nothing": (lambda b: put(b, [], b""), MalformedError, "found UnixFS type None"),
    "raw": (lambda _: LEAF, MalformedError, "found codec 0x55"),
    "up in a shard": (lambda b: shard(b, links_to(LEAF, [slot("..") + ".."])), MalformedError, "found '..'"),
    "wrong slot": (lambda b: shard(b, links_to(LEAF, ["00name"])), MalformedError, "expected a name whose hash"),
    "no slot": (lambda b: shard(b, links_to(LEAF, ["x"]), bits=1), MalformedError, "expected a link to slot 00"),
    "lower case": (
        lambda b: shard(b, links_to(LEAF, ["0aname"]), bits=1 << 10),
        MalformedError,
        "expected a link to slot 0A",
    ),
    "bits without links": (lambda b: shard(b, [], bits=3), MalformedError, "a bit for each of 0 links"),
    "links without bits": (lambda b: shard(b, links_to(LEAF, [GOOD]), bits=0), MalformedError, "found 0 bits"),
    "bits beyond": (lambda b: shard(b, links_to(LEAF, [GOOD]), bits=1 << 256), MalformedError, "number 257"),
    "sha2-256": (lambda b: shard(b, [], hash=0x12), MalformedError, "with hash 0x12"),
    "fanout 0": (lambda b: shard(b, [], fanout=0), MalformedError, "found 0"),
    "fanout 4": (lambda b: shard(b, [], fanout=4), MalformedError, "found 4"),
    "fanout 255": (lambda b: shard(b, [], fanout=255), MalformedError, "found 255"),
    "fanout 2^40": (lambda b: shard(b, [], fanout=1 << 40), MalformedError, f"found {1 << 40}"),
    "another fanout below": (
        lambda b: shard(b, links_to(shard(b, [], fanout=16), ["00"])),
        MalformedError,
        "expected a shard with fanout 256",
    ),
    "a directory below": (lambda b: shard(b, links_to(directory(b), ["00"])), MalformedError, "found type 1"),
    "an empty shard": (lambda b: nested(b, 1), MalformedError, "found an empty one"),
    "seven levels": (lambda b: nested(b, 7), MalformedError, "found an empty one"),
    "eight levels": (lambda b: nested(b, 8), LimitError, "at most 8 levels"),
    "many levels": (lambda b: nested(b, 500), LimitError, "at most 8 levels"),
}


@pytest.mark.parametrize("name", LIES)
def test_false_claims_are_errors_that_name_the_block(name: str) -> None:
    make, error, message = LIES[name]
    blocks: Blocks = {}
    root = make(blocks)
    with pytest.raises(error) as caught:
        list(unixfs.read_directory(blocks.__getitem__, root))
    assert message in str(caught.value)
    assert any(cids.to_text(each) in str(caught.value) for each in (*blocks, LEAF))


def test_a_shard_that_is_linked_from_two_places_is_refused() -> None:
    """Blocks that link each other would stand for 256^7 entries; the first misplaced name is an error."""
    blocks: Blocks = {}
    below = shard(blocks, links_to(LEAF, [slot("name", 7) + "name"]))
    for _ in range(7):
        below = shard(blocks, links_to(below, [f"{number:02X}" for number in range(256)]))
    with pytest.raises(MalformedError, match="expected a name whose hash begins with"):
        list(unixfs.read_directory(blocks.__getitem__, below))
    found = unixfs.find_entry(blocks.__getitem__, below, "name")
    assert found == PBLink(LEAF, "name", 4)


def test_find_entry_checks_the_shards_that_it_reads() -> None:
    for name in ("wrong slot", "up", "absolute"):  # no path can name these
        blocks: Blocks = {}
        assert unixfs.find_entry(blocks.__getitem__, LIES[name][0](blocks), "name") is None
    for name in ("fanout 4", "sha2-256", "bits beyond", "raw", "a file"):
        make, error, _ = LIES[name]
        blocks = {}
        with pytest.raises(error):
            unixfs.find_entry(blocks.__getitem__, make(blocks), "name")
    blocks = {}
    root = shard(blocks, [])
    for level in reversed(range(9)):
        root = shard(blocks, [PBLink(root, slot("name", level) if level < 8 else "00", 1)])
    with pytest.raises(LimitError, match="at most 8 levels"):
        unixfs.find_entry(blocks.__getitem__, root, "name")


def test_kinds_and_links_are_checked() -> None:
    blocks: Blocks = {}
    get = blocks.__getitem__
    with pytest.raises(MalformedError, match="found UnixFS type 3"):
        unixfs.kind_of(get, put(blocks, [], b"\x08\x03"))
    with pytest.raises(MalformedError, match="found codec 0x71"):
        unixfs.kind_of(get, cid(b"\xa0", "dag-cbor"))
    with pytest.raises(MalformedError, match="expected a symbolic link"):
        unixfs.read_symlink(get, directory(blocks))
    with pytest.raises(MalformedError, match="expected the target of a symbolic link in UTF-8"):
        unixfs.read_symlink(get, put(blocks, [], b"\x08\x04\x12\x01\xff"))
    assert unixfs.kind_of(get, LEAF) is Kind.FILE
