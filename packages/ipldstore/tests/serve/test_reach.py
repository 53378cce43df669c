"""What visitors may have: blocks that the opened roots reach, under the server's own name, and nothing that lists."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_car import CarReader, CarWriter, cids, dagcbor, unixfs
from ipld_castore import CarCAStore, GatewayCAStore, MappingCAStore
from ipldstore import IPLDStore
from ipldstore._serve.limits import Limits
from ipldstore._serve.sources import Source
from multiformats import CID

from ..support.serving import Served, serving


def raw(data: bytes) -> bytes:
    return cids.make(cids.RAW, hashlib.sha256(data).digest())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in a CAR file, beside blocks that its root does not reach: an older root and its chunk."""
    path = tmp_path_factory.mktemp("served") / "a.car"
    with ipldstore.open(path, "x") as store:
        group = zarr.create_group(store, attributes={"title": "<script>alert(1)</script>"})
        array = group.create_array("t", shape=(4, 6), chunks=(2, 3), dtype="f4", compressors=None, dimension_names="yx")
        array[:] = np.arange(24).reshape(4, 6)
        group.create_array("a name?#%25", shape=(2,), dtype="i4")[:] = 1
        store["old/0"] = b"what was deleted"
        store.freeze()
        del store["old/0"]
    return path


@pytest.fixture(scope="module")
def served(dataset: Path) -> Iterator[Served]:
    with serving([dataset]) as running:
        yield running


@pytest.fixture(scope="module")
def root(dataset: Path) -> str:
    with ipldstore.open(dataset) as store:
        return str(store.root_cid)


def test_blocks_that_no_root_reaches_are_not_served(served: Served, dataset: Path, root: str) -> None:
    """The file has them still: what was deleted is not to be had by those who know its CID."""
    everything = {cids.to_text(block.cid_bytes) for block in CarReader(dataset.read_bytes())}
    with CarCAStore(dataset) as castore:
        reached = {str(cid) for cid, _ in castore.get_dag(root)}
    lost = cids.to_text(raw(b"what was deleted"))
    assert lost in everything - reached
    for cid in everything:
        expected = 200 if cid in reached else 404
        assert served.get(f"/ipfs/{cid}?format=raw").status_code == expected
        assert served.get(f"/ipfs/{cid}?format=car&dag-scope=block").status_code == expected
    cached = served.get(f"/ipfs/{lost}?format=raw", headers={"Cache-Control": "only-if-cached"})
    assert cached.status_code == 412


def test_a_block_is_known_before_all_nodes_were_read(dataset: Path, root: str) -> None:
    """Walking from the root, as readers do, needs no walk of the server's own."""
    with serving([dataset]) as running:
        answer = running.get(f"/ipfs/{root}?format=raw")
        for link in dagcbor.links(answer.content):
            assert running.get(f"/ipfs/{cids.to_text(link)}?format=raw").status_code == 200


def ask(served: Served, path: str, *, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """Send a request exactly as it is written."""
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]  # read before the connection closes
    connection.close()
    return answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_a_website_under_a_name_of_its_own_gets_nothing(served: Served, root: str, host: str) -> None:
    """DNS rebinding: the browser thinks that this machine is the website's, and would let it read the answer."""
    for path in ("/", f"/ipfs/{root}", f"/ipfs/{root}?format=raw"):
        assert ask(served, path, Host=host).status == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080", "192.168.1.5:99"])
def test_a_visitor_by_address_is_let_in(served: Served, host: str) -> None:
    assert ask(served, "/", Host=host).status == 200


def test_a_name_that_was_allowed_is_let_in(dataset: Path) -> None:
    with serving([dataset], hosts=["data.example"]) as running:
        assert ask(running, "/", Host="data.example:443").status == 200
        assert ask(running, "/", Host="other.example").status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_nothing_is_written(served: Served, root: str, method: str) -> None:
    assert ask(served, f"/ipfs/{root}", method=method).status == 405


def test_websites_may_read_content_that_they_know_and_no_page_that_lists(served: Served, root: str) -> None:
    for path in (f"/ipfs/{root}?format=raw", f"/ipfs/{root}?format=car", f"/ipfs/{root}/zarr.json", "/ipfs/bafkqaaa"):
        assert served.get(path).headers["Access-Control-Allow-Origin"] == "*"
    preflight = served.http.options(f"{served.url}/ipfs/{root}")
    assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (204, "*")
    assert "Range" in preflight.headers["Access-Control-Allow-Headers"]
    for path in ("/", f"/ipfs/{root}", f"/ipfs/{root}/t"):
        page = served.get(path)
        assert page.headers["Content-Type"].startswith("text/html")
        assert "Access-Control-Allow-Origin" not in page.headers
    assert "Access-Control-Allow-Origin" not in served.http.options(f"{served.url}/").headers


def test_no_content_runs_in_a_browser(served: Served, root: str) -> None:
    for path in ("/", f"/ipfs/{root}", f"/ipfs/{root}/t/c/0/0", f"/ipfs/{root}?format=raw", "/nothing", "/ipfs/x"):
        headers = served.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in headers["Content-Security-Policy"]
        assert "script" not in headers["Content-Security-Policy"]
    assert "<script>" not in served.get(f"/ipfs/{root}").text


def test_a_file_that_is_html_is_shown_in_a_sandbox() -> None:
    castore = MappingCAStore()
    page = castore.put(b"<script>alert(1)</script>")
    links = [unixfs.PBLink(bytes(page), "index.html", 25), unixfs.PBLink(bytes(page), "<b>&", 25)]
    directory = unixfs.build_directory(links, lambda cid, data: castore.put_block(cids.from_bytes(cid), data))
    with serving([Source("memory", castore, (directory.cid,), castore.close)]) as running:
        cid = cids.to_text(directory.cid)
        listed = running.get(f"/ipfs/{cid}")
        assert "<b>&" not in listed.text
        assert "Access-Control-Allow-Origin" not in listed.headers
        found = running.get(f"/ipfs/{cid}/index.html")
        assert found.headers["Content-Type"].startswith("text/html")
        assert found.headers["Content-Security-Policy"] == "sandbox"
        assert running.get(f"/ipfs/{cid}/%3Cb%3E%26").content == b"<script>alert(1)</script>"
        assert running.get(f"/ipfs/{cid}/..%2Findex.html").status_code in (400, 404)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ipfs/", 400),
        ("/ipfs/notacid", 400),
        ("/ipfs/%ff%fe", 400),
        ("/ipns/k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku", 400),
        ("/elsewhere", 404),
        ("/ipfs/ROOT?format=tar", 400),
        ("/ipfs/ROOT?format=car&dag-scope=some", 400),
        ("/ipfs/ROOT?format=car&entity-bytes=1", 400),
        ("/ipfs/ROOT?format=car&entity-bytes=9:3", 400),
        ("/ipfs/ROOT?format=car&entity-bytes=" + "9" * 5000 + ":*", 400),
        ("/ipfs/ROOT?format=car&car-version=2", 400),
        ("/ipfs/ROOT?format=ipns-record", 400),
        ("/ipfs/ROOT" + "/x" * 5000 + "?format=raw", 404),
        ("/ipfs/ROOT/" + "x" * 5000, 404),
        ("/ipfs/ROOT/nothing", 404),
        ("/ipfs/ROOT/t?picture", 200),
        ("/ipfs/ROOT?picture", 404),
    ],
)
def test_requests_that_are_wrong_say_so(served: Served, root: str, path: str, status: int) -> None:
    answer = served.get(path.replace("ROOT", root))
    assert answer.status_code == status
    assert "Traceback" not in answer.text


def test_keys_are_plain_http_with_ranges(served: Served, root: str) -> None:
    """As zarr and others read a store over HTTP."""
    key = f"/ipfs/{root}/t/c/1/1"
    whole = served.get(key)
    assert np.frombuffer(whole.content, "<f4").tolist() == [15.0, 16.0, 17.0, 21.0, 22.0, 23.0]
    part = served.get(key, headers={"Range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, whole.content[4:12])
    assert part.headers["Content-Range"] == "bytes 4-11/24"
    assert served.get(key, headers={"Range": "bytes=24-"}).status_code == 416
    again = served.get(key, headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert served.get(f"/ipfs/{root}/zarr.json").json()["node_type"] == "group"
    assert served.get(f"/ipfs/{root}/{quote('a name?#%25')}/zarr.json").json()["shape"] == [2]
    head = served.http.head(served.url + key)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "24", b"")


def test_our_own_client_reads_a_dataset_through_it(served: Served, root: str) -> None:
    with GatewayCAStore(served.url) as castore:
        far = IPLDStore(castore, root=root, read_only=True)
        assert np.asarray(zarr.open_array(far, path="t", mode="r")[:]).tolist() == np.arange(24).reshape(4, 6).tolist()
        assert castore.to_car(root)


# -- limits --


def exponential(levels: int) -> tuple[MappingCAStore, CID]:
    """A few blocks with 2**levels ways through them."""
    castore = MappingCAStore()
    cid = castore.put_raw(b"x" * 1000)
    for _ in range(levels):
        cid = castore.put([cid, cid])
    return castore, cid


def test_a_graph_with_endless_ways_through_it_is_broken_off() -> None:
    castore, cid = exponential(50)
    source = Source("memory", castore, (bytes(cid),), castore.close)
    with serving([source], limits=Limits(response_bytes=1 << 20)) as running:
        once = running.get(f"/ipfs/{cid}?format=car")
        assert len(list(CarReader(once.content))) == 51
        path = f"/ipfs/{cid}?format=car&car-dups=y"
        connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=60)
        connection.request("GET", path)
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()
        assert running.get(f"/ipfs/{cid}?format=raw").status_code == 200


def test_a_source_that_fails_in_the_middle_breaks_the_answer_off() -> None:
    """A part of a CAR with a clean end would be taken for the whole."""
    castore = MappingCAStore()
    leaves = [castore.put_raw(bytes([number]) * 300_000) for number in range(4)]
    cid = castore.put(leaves)
    castore.delete_block(leaves[3])
    with serving([Source("memory", castore, (bytes(cid),), castore.close)]) as running:
        connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=60)
        connection.request("GET", f"/ipfs/{cid}?format=car")
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()
        connection.close()


def test_all_fixtures_merged_below_one_root(fixtures: Path, tmp_path: Path) -> None:
    """As gateway-conformance merges them: one dag-pb node with links and no data, above the roots of all archives."""
    sources = sorted((fixtures / "gateway-conformance").rglob("*.car"))
    roots = dict.fromkeys(bytes(root) for path in sources for root in CarReader(path.read_bytes()).roots)
    from ipld_car.codecs import dagpb

    node = dagpb.encode([dagpb.PBLink(root, None, None) for root in roots], None)
    top = cids.make(cids.DAG_PB, hashlib.sha256(node).digest())
    merged = tmp_path / "merged.car"
    with merged.open("wb") as file, CarWriter(file, [top]) as writer:
        writer.write(top, node)
        for path in sources:
            for block in CarReader(path.read_bytes()):
                writer.write(block.cid_bytes, block.data)
    with serving([merged]) as running:
        for path in sources:
            for block in CarReader(path.read_bytes()):
                cid = cids.to_text(block.cid_bytes)
                assert running.get(f"/ipfs/{cid}?format=raw").content == block.data
        assert running.get(f"/ipfs/{cids.to_text(top)}").status_code in (200, 400)


def test_a_path_through_thousands_of_links_is_decoded_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the decoder of nodes: the one of values takes 0.1 ms a link, and a visitor resolves a path for each leaf."""
    store = IPLDStore()
    chunk = bytes(store.castore.put(b"chunk"))
    array = zarr.create_array(store, name="a", shape=(2500,), chunks=(1,), dtype="u1")
    store.set_links("a", np.arange(array.nchunks)[:, None], np.frombuffer(chunk * 2500, "u1").reshape(-1, 36))
    (tmp_path / "a.car").write_bytes(store.to_car())

    def slow(*_: object, **__: object) -> None:
        raise AssertionError("the decoder of values was used")

    monkeypatch.setattr(dagcbor, "decode", slow)
    with serving([tmp_path / "a.car"]) as running:
        answer = running.get(f"/ipfs/{store.root_cid}/a/__ipld_chunks__?format=car&dag-scope=block")
        assert answer.status_code == 200
        assert len(list(CarReader(answer.content))) >= 1
