"""Where in an address the place ends: versions, groups, and names that have the same characters in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipldstore import IPLDStore
from ipldstore._address.grammar import parse
from ipldstore._address.places import Address, ArchiveURL, BucketURL, ContentPath, NamePath
from zarr.core.buffer import default_buffer_prototype
from zarr.core.buffer.cpu import Buffer

from ..support.open_samples import SOME
from ..support.store_samples import contents, zarr

CID = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "place", "ref", "group"),
    [
        ("air.car", "air.car", None, ""),
        ("air.car@v1", "air.car", "v1", ""),
        ("air.car#a/b", "air.car", None, "a/b"),
        ("air.car#/a/b/", "air.car", None, "a/b"),
        ("air.car@v1#a", "air.car", "v1", "a"),
        ("air.car@main@2024-05-01", "air.car", "main@2024-05-01", ""),
        ("air.car@main~3#a@b", "air.car", "main~3", "a@b"),
        ("air.car#a#b", "air.car", None, "a#b"),
        ("a@b#c.car", "a@b#c.car", None, ""),
        ("a@b#c.car@v1#g", "a@b#c.car", "v1", "g"),
        ("folder@main", "folder", "main", ""),
        ("folder#g", "folder", None, "g"),
        ("plain@x", "plain@x", None, ""),
        ("gone@x", "gone@x", None, ""),
        ("gone.car@x#y", "gone.car", "x", "y"),
        ("a#1/air.car@v", "a#1/air.car", "v", ""),
    ],
)
def test_a_path_is_the_longest_that_is_there(text: str, place: str, ref: str | None, group: str, here: Path) -> None:
    for name in ("air.car", "a@b#c.car", "a#1/air.car"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    for folder in ("folder", "a"):
        (here / folder).mkdir(exist_ok=True)
    (here / "plain").mkdir()  # no folder of blocks
    (here / "folder" / "SHARDING").touch()
    (here / "a" / "SHARDING").touch()
    assert parse(text) == Address(Path(place), ref, group)


@pytest.mark.parametrize(
    ("text", "path", "ref", "group"),
    [
        ("/air.car@v1#a%23b", "/air.car", "v1", "a#b"),
        ("/a%40b.car@v1", "/a@b.car", "v1", ""),
        ("/a@b.car", "/a@b.car", None, ""),
        ("/a@b.car#c", "/a@b.car", None, "c"),
    ],
)
def test_file_urls(text: str, path: str, ref: str | None, group: str, tmp_path: Path) -> None:
    for name in ("air.car", "a@b.car"):
        (tmp_path / name).touch()
    found = parse(tmp_path.as_uri() + text)
    assert found == Address(tmp_path / path.removeprefix("/"), ref, group)


@pytest.mark.parametrize(
    ("text", "url", "ref", "group"),
    [
        ("s3://bucket/era5", "s3://bucket/era5", None, ""),
        ("s3://bucket/era5@main", "s3://bucket/era5", "main", ""),
        ("s3://bucket/era5@main#a/b", "s3://bucket/era5", "main", "a/b"),
        ("s3://bucket/a%40b#c%23d", "s3://bucket/a%40b", None, "c#d"),
        ("s3://bucket/a@b/era5", "s3://bucket/a@b/era5", None, ""),
        ("abfss://box@account.example/era5", "abfss://box@account.example/era5", None, ""),
        ("abfss://box@account.example/era5@v1", "abfss://box@account.example/era5", "v1", ""),
        ("https://me:pass@host/x.car", "https://me:pass@host/x.car", None, ""),
        ("https://me:pass@host/x.car@v1?sig=a@b#g", "https://me:pass@host/x.car?sig=a@b", "v1", "g"),
        ("https://host/a@b.car", "https://host/a@b.car", None, ""),
        ("https://host/a@b.car@v1", "https://host/a@b.car", "v1", ""),
        ("s3://bucket/x.CAR@v1", "s3://bucket/x.CAR", "v1", ""),
    ],
)
def test_urls_of_buckets_and_archives(text: str, url: str, ref: str | None, group: str) -> None:
    found = parse(text)
    assert isinstance(found.place, (BucketURL, ArchiveURL))
    assert isinstance(found.place, ArchiveURL) == (".car" in url.lower())
    assert (found.place.url, found.ref, found.group) == (url, ref, group)


@pytest.mark.parametrize(
    ("text", "path", "ref", "group", "gateway"),
    [
        (f"ipfs://{CID}", (), None, "", None),
        (f"IPFS://{CID}/", (), None, "", None),
        (f"ipld://{CID}/a/b", ("a", "b"), None, "", None),
        (f"ipfs://{CID}@v1/a%20b/c@d#e", ("a b", "c@d"), "v1", "e", None),
        (f"https://gateway.example/ipfs/{CID}/a", ("a",), None, "", "https://gateway.example"),
        (f"https://me:pass@host:1/base/ipfs/{CID}@v1#g", (), "v1", "g", "https://me:pass@host:1/base"),
        (f"https://{CID}.ipfs.gateway.example/a", ("a",), None, "", "https://gateway.example"),
        (f"http://127.0.0.1:8080/ipfs/{CID}", (), None, "", "http://127.0.0.1:8080"),
    ],
)
def test_urls_of_content(text: str, path: tuple[str, ...], ref: str | None, group: str, gateway: str | None) -> None:
    found = parse(text)
    assert isinstance(found.place, ContentPath)
    assert str(found.place.cid) == CID
    assert not found.place.is_bare
    assert (found.place.path, found.ref, found.group, found.place.gateway) == (path, ref, group, gateway)


@pytest.mark.parametrize("text", [f"{CID}/a@b@c#g", f"/ipfs/{CID}/a@b@c#g"])
def test_a_bare_cid_with_a_path(text: str) -> None:
    found = parse(text)
    assert isinstance(found.place, ContentPath)
    assert found.place.is_bare
    assert (found.place.path, found.group) == (("a@b@c",), "g")


@pytest.mark.parametrize(
    ("text", "name", "path", "gateway"),
    [
        ("ipns://latest.example.org/products/x.zarr", "latest.example.org", ("products", "x.zarr"), None),
        ("https://gw.example/ipns/example.org/a", "example.org", ("a",), "https://gw.example"),
        ("https://a--b-example-org.ipns.gw.example/a", "a-b.example.org", ("a",), "https://gw.example"),
    ],
)
def test_urls_of_names(text: str, name: str, path: tuple[str, ...], gateway: str | None) -> None:
    assert parse(text) == Address(NamePath(name, path, gateway))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ipfs://example.org", "text of a CID"),
        ("ipfs://", "text of a CID"),
        ("ipns://", "IPNS name or a domain"),
        ("ipns:///a", "IPNS name or a domain"),
        (f"ipfs://{CID}?format=car", "without a query"),
        (f"https://gw.example/ipfs/{CID}?format=car", "without a query"),
        (f"ipfs://{CID}/a//b", "path of names"),
        (f"ipfs://{CID}/../b", "path of names"),
        (f"ipfs://{CID}/a%2Fb", "path of names"),
        (f"ipfs://{CID}@/a", "branch, tag or commit behind the @"),
        ("s3://bucket/era5@", "branch, tag or commit behind the @"),
        ("https://host/x.zip", "URL of a CAR file"),
        ("https://host/ipfs/readme", "URL of a CAR file"),
    ],
)
def test_what_does_not_parse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_a_path_object_is_a_path_as_it_is(here: Path) -> None:
    (here / "air.car").touch()
    assert parse(Path("air.car@v1#g")) == Address(Path("air.car@v1#g"))


@pytest.mark.usefixtures("here")
def test_a_file_with_such_a_name_is_opened() -> None:
    with ipldstore.open("a@b#c.car", "x", fsync=False) as store:
        store.mapping.update(SOME)
    with ipldstore.open("a@b#c.car") as store:
        assert contents(store) == SOME
    assert ipldstore.open("a@b#c.car", "a").castore.address.endswith("a@b#c.car")


@pytest.mark.parametrize("text", ["new.car@v1", "new.car#g"])
def test_nothing_new_is_made_with_a_version_or_a_group(text: str, here: Path) -> None:
    with pytest.raises(ValueError, match=r'mode "x" no version and no group.*Path\('):
        ipldstore.open(text, "x")
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("here")
def test_two_names_of_one_version() -> None:
    with ipldstore.open("air.car", "x", fsync=False) as store:
        store.mapping.update(SOME)
    several: list[dict[str, Any]] = [{"tag": "v2"}, {"branch": "main"}, {"commit": CID}]
    for options in several:
        with pytest.raises(ValueError, match="expected one of branch, tag, commit and @ in the address"):
            ipldstore.open("air.car@v1", **options)


# -- groups --

NESTED = {"zarr.json": b"{}", "a/zarr.json": b"{}", "a/b/zarr.json": b"{}", "a/b/c/0/0": b"chunk", "d/x": b"other"}


@pytest.fixture
def nested(here: Path) -> Path:
    with ipldstore.open("nested.car", "x", fsync=False) as store:
        store.mapping.update(NESTED)
    return here / "nested.car"


def below(path: str) -> dict[str, bytes]:
    return {key.removeprefix(f"{path}/"): value for key, value in NESTED.items() if key.startswith(f"{path}/")}


@pytest.mark.parametrize("path", ["a", "a/b", "d"])
def test_a_group_is_the_top_of_the_store(path: str, nested: Path) -> None:
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"{nested}#{path}", {}),
        (str(nested), {"path": f"/{path}/"}),
        (f"{nested}#{path}", {"path": path}),
    ]
    for what, options in ways:
        with ipldstore.open(what, **options) as store:
            assert isinstance(store, IPLDStore)
            assert contents(store) == below(path)
            assert len(store) == len(below(path))


def test_a_cid_with_a_path(nested: Path) -> None:
    with ipldstore.open(nested) as whole:
        root = whole.root_cid
        ways: list[tuple[Any, dict[str, Any]]] = [
            (f"ipfs://{root}/a", {}),
            (f"{root}/a", {}),
            (root, {"path": "a"}),
            (f"ipfs://{root}/a#b", {}),
        ]
        for what, options in ways:
            store = ipldstore.open(what, castore=whole, **options)
            assert contents(store) == below("a/b" if "#" in str(what) else "a")
            assert store.root_cid == root


def test_two_paths_of_a_group(nested: Path) -> None:
    with pytest.raises(ValueError, match="one path of a group"):
        ipldstore.open(f"{nested}#a", path="b")


def test_a_group_that_is_not_there(nested: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"group or an array at 'x', found none \(at the top are \['a', 'd'"):
        ipldstore.open(f"{nested}#x")
    with ipldstore.open(nested, "a"):
        pass  # nothing was left locked


def test_a_group_is_written(nested: Path) -> None:
    with ipldstore.open(f"{nested}#new/group", "a", fsync=False) as store:
        store["k"] = b"1"
        store.mapping.update({"l": b"2", "m": b"3"})
        del store["m"]
        assert "k" in store
    with ipldstore.open(nested) as store:
        assert contents(store) == NESTED | {"new/group/k": b"1", "new/group/l": b"2"}
    with ipldstore.open(f"{nested}#a", "a", fsync=False) as store:
        store.mapping.clear()
    with ipldstore.open(nested) as store:
        assert sorted(store) == ["d/x", "new/group/k", "new/group/l", "zarr.json"]


async def test_what_zarr_asks_of_a_group(nested: Path) -> None:
    with ipldstore.open(f"{nested}#a", "a", fsync=False) as store:
        assert sorted([key async for key in store.list()]) == sorted(below("a"))
        assert [key async for key in store.list_prefix("b/c")] == ["b/c/0/0"]
        assert sorted([name async for name in store.list_dir("")]) == ["b", "zarr.json"]
        assert sorted([name async for name in store.list_dir("b")]) == ["c", "zarr.json"]
        assert await store.exists("b/c/0/0")
        assert not await store.exists("a/b/c/0/0")
        assert await store.getsize("b/c/0/0") == 5
        assert await store.getsize_prefix("b") == 7
        value = await store.get("b/c/0/0", default_buffer_prototype())
        assert value is not None
        assert value.to_bytes() == b"chunk"
        await store.set("n", Buffer.from_bytes(b"new"))
        await store.set_if_not_exists("n", Buffer.from_bytes(b"other"))
        store.set_sync("s", Buffer.from_bytes(b"sync"))
        found = store.get_sync("n")
        assert found is not None
        assert found.to_bytes() == b"new"
        await store.delete("s")
        await store.delete_dir("b")
        assert contents(store) == {"zarr.json": b"{}", "n": b"new"}
        await store.clear()
        assert contents(store) == {}
    with ipldstore.open(nested) as store:
        assert sorted(store) == ["d/x", "zarr.json"]


def test_groups_are_compared_pickled_and_named(nested: Path) -> None:
    with ipldstore.open(f"{nested}#a") as a, ipldstore.open(f"{nested}#d") as d, ipldstore.open(nested) as whole:
        again: Any = pickle.loads(pickle.dumps(a))  # noqa: S301  # made here
        assert again == a
        assert contents(again) == contents(a)
        assert a != d
        assert a != whole
        assert repr(a).endswith(" at 'a'>")
        assert str(a) == f"ipld://{whole.root_cid}/a"
        assert len({a.__dask_tokenize__(), d.__dask_tokenize__(), whole.__dask_tokenize__()}) == 3


@pytest.mark.usefixtures("here")
def test_zarr_reads_a_group() -> None:
    with ipldstore.open("z.car", "x", fsync=False) as store:
        zarr.create_array(store, name="group/data", shape=(4,), chunks=(2,), dtype="i4")[:] = 7
    for path in ("group", "group/data"):
        with ipldstore.open("z.car", path=path) as store:
            found: Any = zarr.open(store, mode="r")
            assert (found["data"] if path == "group" else found)[:].tolist() == [7] * 4
