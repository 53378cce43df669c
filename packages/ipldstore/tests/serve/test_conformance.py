"""What ipfs/gateway-conformance asks of a trustless gateway, on its fixtures.

The expected blocks are those that its tests name, or that its recipes say; none is computed by the code under test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ipld_car import CarReader, cids

from ..support.serving import Served, serving

CHUNKS = [
    "bafkreie5noke3mb7hqxukzcy73nl23k6lxszxi5w3dtmuwz62wnvkpsscm",
    "bafkreih4ephajybraj6wnxsbwjwa77fukurtpl7oj7t7pfq545duhot7cq",
    "bafkreigu7buvm3cfunb35766dn7tmqyh2um62zcio63en2btvxuybgcpue",
    "bafkreicll3huefkc3qnrzeony7zcfo7cr3nbx64hnxrqzsixpceg332fhe",
    "bafkreifst3pqztuvj57lycamoi7z34b4emf7gawxs74nwrc2c7jncmpaqm",
]
"""The 256, 256, 256, 256 and 2 bytes of ``multiblock.txt``."""
MULTIBLOCK = "bafybeigcisqd7m5nf3qmuvjdbakl5bdnh4ocrmacaqkpuh77qjvggmt2sa"
ASCII = "bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm"
HELLO = "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4"
TWO_FILES, TWO_FILES_SUBDIR = (
    "bafybeietjm63oynimmv5yyqay33nui4y4wx6u3peezwetxgiwvfmelutzu",
    "bafybeiggghzz6dlue3m6nb2dttnbrygxh3lrjl5764f2m4gq7dgzdt55o4",
)
MIXED, MIXED_SUBDIR = (
    "bafybeidh6k2vzukelqtrjsmd4p52cpmltd2ufqrdtdg6yigi73in672fwu",
    "bafybeicnmple4ehlz3ostv2sbojz3zhh5q7tz5r2qkfdpqfilgggeen7xm",
)
LINKED, DOCUMENT = (
    "bafybeia264q44a3kmfc2otctzu4egp2k235o3t7mslz2yjraymp4nv6asi",
    "bafyreidy4q6mmetut5jzc54ambsfnatbyoujmwbfzyyolqw24majazwgha",
)
DUPLICATES = "bafybeihchr7vmgjaasntayyatmp5sv6xza57iy2h4xj7g46bpjij6yhrmy"
SHARDED = "bafybeidbclfqleg2uojchspzd4bob56dqetqjsj27gy2cq3klkkgxtpn4i"
RAW_DIR, RAW_ASCII = (
    "bafybeifaqksygmsbnqe76kwvxoqxtkzcwssq5jkhuo65ldtqiunr3bxlra",
    "bafkreihhpc5y2pqvl5rbe5uuyhqjouybfs3rvlmisccgzue2kkt5zq6upq",
)
MISSING_FILE = "QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk"
INLINE = "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa"


@pytest.fixture(scope="module")
def archives(fixtures: Path) -> Path:
    return fixtures / "gateway-conformance"


@pytest.fixture(scope="module")
def gateway(archives: Path) -> Iterator[Served]:
    with serving([*sorted(archives.glob("trustless_gateway_car/*.car")), archives / "gateway-raw-block.car"]) as served:
        yield served


def blocks_of(body: bytes) -> list[str]:
    return [cids.to_text(block.cid_bytes) for block in CarReader(body)]


BY_PATH = {
    f"{TWO_FILES}/subdir/ascii.txt?": [TWO_FILES, TWO_FILES_SUBDIR, ASCII],
    f"{DOCUMENT}/files/single?": [DOCUMENT, HELLO],
    f"{TWO_FILES}/subdir?dag-scope=block": [TWO_FILES, TWO_FILES_SUBDIR],
    f"{TWO_FILES}/subdir/ascii.txt?dag-scope=block": [TWO_FILES, TWO_FILES_SUBDIR, ASCII],
    f"{TWO_FILES}?dag-scope=entity": [TWO_FILES],
    f"{MIXED}/subdir/ascii.txt?dag-scope=entity": [MIXED, MIXED_SUBDIR, ASCII],
    f"{MIXED}/subdir/multiblock.txt?dag-scope=entity": [MIXED, MIXED_SUBDIR, MULTIBLOCK, *CHUNKS],
    f"{LINKED}/document?dag-scope=entity": [LINKED, DOCUMENT],
    f"{MIXED}/subdir?dag-scope=all": [MIXED, MIXED_SUBDIR, ASCII, HELLO, MULTIBLOCK, *CHUNKS],
    f"{MIXED}/subdir/multiblock.txt?dag-scope=all": [MIXED, MIXED_SUBDIR, MULTIBLOCK, *CHUNKS],
    f"{MIXED}/subdir/multiblock.txt?dag-scope=entity&entity-bytes=0:*": [MIXED, MIXED_SUBDIR, MULTIBLOCK, *CHUNKS],
    f"{MULTIBLOCK}?dag-scope=entity&entity-bytes=512:*": [MULTIBLOCK, *CHUNKS[2:]],
    f"{MULTIBLOCK}?dag-scope=entity&entity-bytes=512:1023": [MULTIBLOCK, *CHUNKS[2:4]],
    f"{MULTIBLOCK}?dag-scope=entity&entity-bytes=512:-256": [MULTIBLOCK, *CHUNKS[2:4]],
    f"{MULTIBLOCK}?dag-scope=entity&entity-bytes=-5:*": [MULTIBLOCK, *CHUNKS[3:]],
    f"{MULTIBLOCK}?dag-scope=entity&entity-bytes=-9999:*": [MULTIBLOCK, *CHUNKS],
    f"{MULTIBLOCK}?dag-scope=entity&entity-bytes=-9999:-3": [MULTIBLOCK, *CHUNKS[:4]],
    f"{MULTIBLOCK}?dag-scope=entity&entity-bytes=0:0": [MULTIBLOCK, CHUNKS[0]],
    f"{MISSING_FILE}?dag-scope=entity&entity-bytes=0:1000": [
        MISSING_FILE,
        "QmPKt7ptM2ZYSGPUc8PmPT2VBkLDK3iqpG9TBJY7PCE9rF",
    ],
    f"{MISSING_FILE}?dag-scope=entity&entity-bytes=2200:*": [
        MISSING_FILE,
        "QmWXY482zQdwecnfBsj78poUUuPXvyw2JAFAEMw4tzTavV",
    ],
}


@pytest.mark.parametrize("path", BY_PATH)
@pytest.mark.parametrize("asked", ["query", "header"])
def test_a_car_has_exactly_the_blocks_in_order(gateway: Served, path: str, asked: str) -> None:
    if asked == "query":
        answer = gateway.get(f"/ipfs/{path}&format=car")
    else:
        answer = gateway.get(f"/ipfs/{path}", headers={"Accept": "application/vnd.ipld.car"})
    assert answer.status_code == 200, answer.text
    assert blocks_of(answer.content) == BY_PATH[path]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Accept-Ranges"] == "none"
    assert answer.headers["Content-Type"].startswith("application/vnd.ipld.car")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="')
    assert ".car" in answer.headers["Content-Disposition"]
    assert answer.headers["ETag"]


@pytest.mark.parametrize("scope", ["entity", "block", "all"])
def test_a_path_through_a_sharded_directory_has_the_shards_on_its_way(gateway: Served, scope: str) -> None:
    answer = gateway.get(f"/ipfs/{SHARDED}/685.txt?format=car&dag-scope={scope}")
    found = blocks_of(answer.content)
    assert found[0] == SHARDED
    below = found[found.index(MULTIBLOCK) :]
    assert below == ([MULTIBLOCK] if scope == "block" else [MULTIBLOCK, *CHUNKS])
    assert 2 <= len(found) - len(below) <= 3


def test_a_sharded_directory_as_an_entity_is_all_its_shards_and_no_file(gateway: Served, archives: Path) -> None:
    source = archives / "trustless_gateway_car/single-layer-hamt-with-multi-block-files.car"
    shards = [cids.to_text(block.cid_bytes) for block in CarReader(source.read_bytes()) if block.cid_bytes[1] == 0x70]
    shards.remove(MULTIBLOCK)
    for more in ("", "&entity-bytes=0:*"):
        answer = gateway.get(f"/ipfs/{SHARDED}?format=car&dag-scope=entity{more}")
        assert sorted(blocks_of(answer.content)) == sorted(shards)


def test_duplicates_come_again_where_they_are_asked_for(gateway: Served) -> None:
    once = [DUPLICATES, ASCII, HELLO, MULTIBLOCK, *CHUNKS]
    for dups, expected in (("y", [DUPLICATES, ASCII, *once[1:]]), ("n", once)):
        answer = gateway.get(
            f"/ipfs/{DUPLICATES}", headers={"Accept": f"application/vnd.ipld.car; version=1; order=dfs; dups={dups}"}
        )
        assert blocks_of(answer.content) == expected
        assert "order=dfs" in answer.headers["Content-Type"]
        assert f"dups={dups}" in answer.headers["Content-Type"]


def test_the_query_goes_before_the_header(gateway: Served) -> None:
    """IPIP-0523."""
    accept = {"Accept": "application/vnd.ipld.car; order=unk; dups=n"}
    answer = gateway.get(f"/ipfs/{DUPLICATES}?format=car&car-order=dfs&car-dups=y", headers=accept)
    assert "order=dfs" in answer.headers["Content-Type"]
    assert "dups=y" in answer.headers["Content-Type"]
    raw = gateway.get(f"/ipfs/{RAW_DIR}?format=raw", headers=accept)
    assert raw.headers["Content-Type"] == "application/vnd.ipld.raw"
    car = gateway.get(f"/ipfs/{RAW_DIR}?format=car", headers={"Accept": "application/vnd.ipld.raw"})
    assert car.headers["Content-Type"].startswith("application/vnd.ipld.car")


def test_an_order_that_is_unknown_to_the_visitor_is_still_told(gateway: Served) -> None:
    answer = gateway.get(f"/ipfs/{DUPLICATES}", headers={"Accept": "application/vnd.ipld.car; version=1; order=unk"})
    assert "order=" in answer.headers["Content-Type"]
    assert set(blocks_of(answer.content)) == {DUPLICATES, ASCII, HELLO, MULTIBLOCK, *CHUNKS}


def test_identity_cids_are_no_blocks(gateway: Served) -> None:
    answer = gateway.get(f"/ipfs/{INLINE}", headers={"Accept": "application/vnd.ipld.car; dups=y"})
    assert answer.status_code == 200
    assert blocks_of(answer.content) == []
    assert gateway.get("/ipfs/bafkqaaa?format=raw").content == b""


def test_a_path_that_leads_nowhere_is_not_found(gateway: Served) -> None:
    assert gateway.get(f"/ipfs/{TWO_FILES}/subdir/i-do-not-exist?format=car").status_code == 404


@pytest.mark.parametrize("asked", ["query", "header"])
def test_a_raw_block(gateway: Served, archives: Path, asked: str) -> None:
    wanted = {
        cids.to_text(block.cid_bytes): block.data
        for block in CarReader((archives / "gateway-raw-block.car").read_bytes())
    }
    for cid in (RAW_DIR, RAW_ASCII):
        if asked == "query":
            answer = gateway.get(f"/ipfs/{cid}?format=raw&filename=foobar.bin")
        else:
            answer = gateway.get(f"/ipfs/{cid}?filename=foobar.bin", headers={"Accept": "application/vnd.ipld.raw"})
        assert answer.status_code == 200
        assert answer.content == wanted[cid]
        headers = answer.headers
        assert headers["Content-Type"] == "application/vnd.ipld.raw"
        assert headers["Content-Length"] == str(len(wanted[cid]))
        assert headers["Content-Disposition"] == 'attachment; filename="foobar.bin"'
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-IPFS-Path"] == f"/ipfs/{cid}"
        assert cid in headers["X-IPFS-Roots"]
        assert headers["Cache-Control"] == "public, max-age=29030400, immutable"
        again = gateway.get(f"/ipfs/{cid}?format=raw", headers={"If-None-Match": headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_ranges_of_a_raw_block(gateway: Served) -> None:
    accept = {"Accept": "application/vnd.ipld.raw"}
    whole = gateway.get(f"/ipfs/{RAW_ASCII}", headers=accept).content
    for header, start, stop in (("6-16", 6, 17), ("3-", 3, len(whole)), ("-4", len(whole) - 4, len(whole))):
        answer = gateway.get(f"/ipfs/{RAW_ASCII}", headers={**accept, "Range": f"bytes={header}"})
        assert (answer.status_code, answer.content) == (206, whole[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
    several = gateway.get(f"/ipfs/{RAW_ASCII}", headers={**accept, "Range": "bytes=0-1,4-5"})
    assert (several.status_code, several.content) == (200, whole)
    beyond = gateway.get(f"/ipfs/{RAW_ASCII}", headers={**accept, "Range": "bytes=9999-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole)}"
