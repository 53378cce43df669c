"""IPNS records are served as gateway-conformance asks, and only those that the key of their name has signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_castore import BlockNotFoundError, IPFSStore, NameRefusedError, parse_record
from ipldstore._serve.sources import Source

from ..support.serving import Served, serving

pytest.importorskip("cryptography", reason="the extra ipns is not installed")

BOTH = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w"
SECOND = "k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f"


@pytest.fixture
def records(fixtures: Path) -> dict[str, Path]:
    folder = fixtures / "gateway-conformance" / "ipns_records"
    return {path.name.partition("_")[0]: path for path in folder.iterdir()}


@pytest.fixture
def served(records: dict[str, Path]) -> Iterator[Served]:
    with serving([], records=[records[BOTH], records[SECOND]]) as running:
        yield running


@pytest.mark.parametrize("name", [BOTH, SECOND])
@pytest.mark.parametrize("asked", ["query", "header"])
def test_a_record(served: Served, records: dict[str, Path], name: str, asked: str) -> None:
    if asked == "query":
        answer = served.get(f"/ipns/{name}?format=ipns-record")
    else:
        answer = served.get(f"/ipns/{name}", headers={"Accept": "application/vnd.ipfs.ipns-record"})
    assert answer.content == records[name].read_bytes()
    assert parse_record(name, answer.content).value.startswith("/ipfs/")
    assert answer.headers["Content-Type"] == "application/vnd.ipfs.ipns-record"
    assert "public, max-age=1800" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.ipns-record"'


def test_a_file_name_of_any_letters(served: Served) -> None:
    answer = served.get(f"/ipns/{BOTH}?format=ipns-record&filename=test%D1%82%D0%B5%D1%81%D1%82.ipns-record")
    assert answer.headers["Content-Disposition"] == (
        "attachment; filename=\"test____.ipns-record\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.ipns-record"
    )


def test_a_name_without_a_record_is_not_found(served: Served) -> None:
    unknown = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
    assert served.get(f"/ipns/{unknown}?format=ipns-record").status_code == 404
    assert served.get(f"/ipns/{BOTH}").status_code == 400


@pytest.mark.parametrize("wrong", ["broken-signature-v2", "_v1.ipns", "broken-v1-value"])
def test_a_record_that_is_not_right_is_not_served(records: dict[str, Path], wrong: str) -> None:
    (path,) = (path for path in records.values() if wrong in path.name)
    with pytest.raises(NameRefusedError), serving([], records=[path]):
        pytest.fail("expected the record to be refused")


def test_the_record_of_a_node_is_served_where_it_is_right(records: dict[str, Path]) -> None:
    """The node is asked for its bytes alone here; that a real one has records is tested where it publishes."""

    class Node(IPFSStore):
        def get_record(self, name: str) -> bytes:
            if name == BOTH:
                return records[BOTH].read_bytes()
            if name == SECOND:
                return records[BOTH].read_bytes()  # of another name
            raise BlockNotFoundError(f"no record of {name}")

    node = Node("http://127.0.0.1:1")
    with serving([Source("node", node, (), node.close)]) as running:
        first = running.get(f"/ipns/{BOTH}?format=ipns-record")
        assert first.content == records[BOTH].read_bytes()
        again = running.get(f"/ipns/{BOTH}?format=ipns-record", headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304
        assert running.get(f"/ipns/{SECOND}?format=ipns-record").status_code == 404
        assert running.get("/ipns/k51nothing?format=ipns-record").status_code == 404
