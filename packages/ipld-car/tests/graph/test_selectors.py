"""`get-dag --selector` gives the blocks that go-ipld-prime gives, in the same order."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_car import dagpb
from ipld_car._graph.selector import walk_selected
from ipld_car._graph.selector_json import MAX_DEPTH, parse
from ipld_car._graph.walk import walk_binary
from ipld_car.terminal.testing import Run
from multiformats import CID

from ..support.car_samples import car_v1, cid, section
from ..support.cli_samples import text
from ..support.go_peer import Peer

ALL = {"R": {"l": {"none": {}}, ":>": {"a": {">": {"@": {}}}}}}
"""The selector that explores everything, from the specification."""


class Graph:
    """Maps, lists, files, folders and leaves, several paths to one block, and a link to a missing block."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        leaves = [self.add(b"leaf %d" % number, "raw") for number in range(8)]
        file = self.add_pb({"a": leaves[0], "b": leaves[1]})
        folder = self.add_pb({"x": file, "y": leaves[2]})
        self.low = self.add_cbor([leaves[3], leaves[4], {"a": leaves[5]}, 1, None])
        nested = {"a": {"b": leaves[7]}}
        self.middle = self.add_cbor({"a": self.low, "b": [self.low, file], "0": leaves[6], "n": nested})
        self.json = self.add_json([{"a": leaves[6], "b": {"a": self.low}}, b"bytes", folder, {"/": [leaves[3]]}])
        self.gone = CID.decode(cid(b"gone"))
        value = {
            "a": self.middle,
            "b": [folder, self.low, self.add_cbor(leaves[1])],
            "Links": folder,
            "g": self.gone,
            "j": self.json,
        }
        self.root = self.add_cbor(value | {"n": {"a": [self.middle, {"a": self.middle}]}})

    def add(self, data: bytes, codec: str) -> CID:
        name = cid(data, codec)
        self.blocks[name] = data
        return CID.decode(name)

    def add_cbor(self, value: Any) -> CID:
        return self.add(dag_cbor.encode(value), "dag-cbor")

    def add_json(self, value: Any) -> CID:
        def written(item: Any) -> Any:
            return {"/": {"bytes": b64encode(item).decode().rstrip("=")}} if type(item) is bytes else {"/": str(item)}

        return self.add(json.dumps(value, default=written).encode(), "dag-json")

    def add_pb(self, links: dict[str, CID]) -> CID:
        named = [dagpb.PBLink(bytes(link), name, 1) for name, link in links.items()]
        return self.add(dagpb.encode(named, b"\x08\x01"), "dag-pb")

    def archive(self) -> bytes:
        return car_v1(*(section(data, name) for name, data in self.blocks.items()), roots=[bytes(self.root)])

    def selected(self, selector: str) -> list[str] | None:
        """Return the blocks that our selector gives; None if the selector is refused."""
        try:
            read = parse(selector)
        except ValueError:
            return None
        missing: list[bytes] = []
        found = list(walk_selected(self.blocks.__getitem__, bytes(self.root), read, missing.append))
        assert missing in ([], [bytes(self.gone)])
        assert all(self.blocks[name] == data for name, data in found)
        return [text(name) for name, _ in found]


GRAPH = Graph()


def selectors() -> st.SearchStrategy[Any]:
    """Selectors of every kind, also invalid ones: an edge outside a recursion, a recursion without one."""
    names = st.sampled_from(["a", "b", "n", "g", "j", "0", "1", "01", "Links", "Hash"])
    numbers = st.integers(-1, 3)
    depths = st.integers(0, 4).map(lambda depth: {"depth": depth})
    limits: st.SearchStrategy[Any] = st.just({"none": {}}) | depths
    stops = st.sampled_from([{}, {}, *({"!": {"/": {"/": str(link)}}} for link in (GRAPH.middle, GRAPH.low))])

    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.builds(lambda then: {"a": {">": then}}, inner),
            st.builds(lambda fields: {"f": {"f>": fields}}, st.dictionaries(names, inner, max_size=3)),
            st.builds(lambda at, then: {"i": {"i": at, ">": then}}, numbers, inner),
            st.builds(lambda start, stop, then: {"r": {"^": start, "$": stop, ">": then}}, numbers, numbers, inner),
            st.builds(lambda members: {"|": members}, st.lists(inner, max_size=3)),
            st.builds(lambda limit, then, stop: {"R": {"l": limit, ":>": then} | stop}, limits, inner, stops),
        )

    return st.recursive(st.sampled_from([{".": {}}, {"@": {}}]), around, max_leaves=6)


NOT_SELECTORS = r"""
{
[]
1
null
{}
"a"
{"a":{}}
{"a":[]}
{"x":{}}
{".":1}
{".":{},"a":{">":{".":{}}}}
{"f":{}}
{"f":{"f>":[]}}
{"f":{"f>":{"a":1}}}
{"|":{}}
{"|":[1]}
{"@":{}}
{"a":{">":{"@":{}}}}
{"i":{">":{".":{}}}}
{"i":{"i":"0",">":{".":{}}}}
{"i":{"i":true,">":{".":{}}}}
{"i":{"i":0}}
{"r":{"^":0,">":{".":{}}}}
{"r":{"^":1,"$":1,">":{".":{}}}}
{"r":{"^":0,"$":1.5,">":{".":{}}}}
{"R":{":>":{"@":{}}}}
{"R":{"l":{"none":{}}}}
{"R":{"l":{"none":{}},":>":{".":{}}}}
{"R":{"l":{"depth":"1"},":>":{"@":{}}}}
{"R":{"l":{},":>":{"@":{}}}}
{"R":{"l":{"deep":1},":>":{"@":{}}}}
{"R":{"l":{"none":{}},":>":{"R":{"l":{"none":{}},":>":{"@":{}}}}}}
{"R":{"l":{"none":{}},":>":{"@":{}},"!":{"/":{"/":"nonsense"}}}}
{"R":{"l":{"none":{}},":>":{"@":{}},"!":{"=":1}}}
""".splitlines()
"""The first has nothing on it; the third but last has no edge of its own in its outer recursion."""


def test_invalid_selectors_are_refused(peer: Peer, tmp_path: Path) -> None:
    """go-ipld-prime refuses them too."""
    (tmp_path / "graph.car").write_bytes(GRAPH.archive())
    assert peer("select", tmp_path / "graph.car", GRAPH.root, stdin=NOT_SELECTORS) == [None] * len(NOT_SELECTORS)
    assert [GRAPH.selected(each) for each in NOT_SELECTORS] == [None] * len(NOT_SELECTORS)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(selectors(), min_size=30, max_size=60))
def test_selected_blocks_equal_those_of_go_ipld_prime(
    peer: Peer, tmp_path_factory: pytest.TempPathFactory, chosen: list[Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "graph.car"
    path.write_bytes(GRAPH.archive())
    lines = [json.dumps(each) for each in chosen]
    theirs = peer("select", path, GRAPH.root, stdin=lines)
    assert dict(zip(lines, map(GRAPH.selected, lines), strict=True)) == dict(zip(lines, theirs, strict=True))


def test_the_selector_of_everything_equals_a_walk() -> None:
    there = walk_binary(GRAPH.blocks.__getitem__, bytes(GRAPH.root), missing=lambda _: None)
    assert GRAPH.selected(json.dumps(ALL)) == [text(name) for name, _ in there]


def test_a_selector_is_bounded() -> None:
    """In depth, whatever parses JSON; and the union in a recursion does not grow without end."""
    within, beyond = ('{"a":{">":' * depth + '{".":{}}' + "}}" * depth for depth in (MAX_DEPTH, MAX_DEPTH + 1))
    parse(within)
    for text_of_it in (beyond, '{"a":{">":' * 100_000 + '{".":{}}' + "}}" * 100_000):
        with pytest.raises(ValueError, match=r"at most 64 deep|expected JSON"):
            parse(text_of_it)
    edge: Any = {"@": {}}
    longer = {"a": {">": edge}}
    ways = {"R": {"l": {"none": {}}, ":>": {"|": [longer, {"a": {">": longer}}, {"a": {">": {"a": {">": longer}}}}]}}}
    blocks: dict[bytes, bytes] = {}
    link: Any = None
    for _ in range(300):
        data = dag_cbor.encode([link])
        blocks[cid(data, "dag-cbor")] = data
        link = CID.decode(cid(data, "dag-cbor"))
    assert len(list(walk_selected(blocks.__getitem__, bytes(link), parse(json.dumps(ways)), lambda _: None))) == 300


def test_an_index_of_any_length() -> None:
    """It counts as a name; Python does not parse a number of so many digits."""
    blocks = Graph().blocks
    low = bytes(GRAPH.low)
    far = parse(json.dumps({"f": {"f>": {"9" * 5000: {".": {}}, "0": {".": {}}}}}))
    assert [name for name, _ in walk_selected(blocks.__getitem__, low, far, lambda _: None)] == [low, cid(b"leaf 3")]


def test_the_command(ipld_car: Run, tmp_path: Path) -> None:
    """With and without a CID, with missing blocks, and with an invalid selector."""
    archive, part = tmp_path / "graph.car", tmp_path / "part.car"
    archive.write_bytes(GRAPH.archive())
    to_low = '{"f":{"f>":{"a":{"f":{"f>":{"a":{".":{}}}}}}}}'
    ipld_car("get-dag", "--selector", to_low, archive, part)
    assert ipld_car("list", part).lines == [text(bytes(each)) for each in (GRAPH.root, GRAPH.middle, GRAPH.low)]
    assert ipld_car("root", part).lines == [text(bytes(GRAPH.root))]
    ipld_car("gd", "-s", '{"i":{"i":0,">":{".":{}}}}', archive, text(bytes(GRAPH.low)), part)
    assert ipld_car("list", part).lines == [text(bytes(GRAPH.low)), text(cid(b"leaf 3"))]
    to_gone = '{"f":{"f>":{"g":{".":{}}}}}'
    assert ipld_car("get-dag", "-s", to_gone, archive, part).err.count("block not found") == 1
    assert "does not have it" in ipld_car("get-dag", "--strict", "-s", to_gone, archive, part, code=1).err
    refused = ipld_car("get-dag", "-s", '{"q":{}}', archive, tmp_path / "none.car", code=2).err
    assert "expected one of the selectors" in refused
    assert not (tmp_path / "none.car").exists()
