"""Addresses mean what they mean to everybody else: a URL is no local folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_castore import FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore
from ipldstore._address.grammar import parse
from ipldstore._address.places import Address

from ..support.open_samples import SOME, contents_of
from ..support.store_samples import contents, written

UNKNOWN = [
    "memory://a",
    "https:/example.org/a.car",
    Path("http://example.org/a.car"),
    "simplecache::s3://bucket/x",
    "s3:/bucket/x",
    "s3:bucket/x",
    "GS:bucket",
    "ipfs:bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
    Path("s3://bucket/x"),
]


@pytest.mark.parametrize("where", UNKNOWN, ids=repr)
@pytest.mark.parametrize("mode", ["r", "a", "x"])
def test_a_scheme_that_is_not_known(where: Any, mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was a local folder of that name. The error names the schemes that are known."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"found .*:.*; known are file:, ipfs:, ipns:, ipld:, s3:"):
        ipldstore.open(where, mode)
    for verb in (ipldstore.compact, ipldstore.car_references):
        with pytest.raises(ValueError, match=r"found .*:.*; known are file:, ipfs:, ipns:, ipld:, s3:"):
            verb(where)
    assert list(tmp_path.iterdir()) == []


NO_ADDRESS = {
    "https://h:99999/x.car": "found 'https://h:99999': Port out of range",
    "https://h:x/x.car": "URL with a host",
    "https://user:SECRET@/x.car": "URL with a host.*found 'https://'",
    "https://user:SECRET@[/x.car": "found 'https://\\['",
    "http://[::1": "URL with a host",
    "https:///x.car": "URL with a host",
    "https://h .car/x.car": "URL with a host",
    "https://h/x.car@": "behind the @",
    "https://h/\n/x.car": "without control characters",
    "s3://": "names a bucket",
    "gs://b c/d": "names a bucket",
    "s3://b/x@%ff": "percent-encoded UTF-8",
    "ipfs://": "the text of a CID, as in ipfs://CID/path, found none",
    "ipfs://zzz": "expected the text of a CID, found 'zzz'",
    "ipld://@main": "the text of a CID",
    "ipns://..": "an IPNS name or a domain",
    "ipns://[::1": "an IPNS name or a domain",
    "ipns://%ff": "percent-encoded UTF-8",
    "file:///a%00b": "without %00",
    "new.car@": "behind the @",
    "new.car@#group": "behind the @",
    "a\0b": "NUL",
}


@pytest.mark.parametrize(("address", "message"), NO_ADDRESS.items(), ids=repr)
def test_what_is_no_address(address: str, message: str) -> None:
    """The message says what was expected, and no password."""
    with pytest.raises(ValueError, match=message) as caught:
        parse(address)
    assert str(caught.value).startswith("expected ")
    assert "SECRET" not in str(caught.value)


def test_a_file_with_nothing_behind_its_at_sign(tmp_path: Path) -> None:
    path = tmp_path / "air.car"
    path.write_bytes(written(SOME).to_car())
    for end in ("@", "@#a"):
        with pytest.raises(ValueError, match="behind the @"):
            ipldstore.open(f"{path}{end}")
    (tmp_path / "air.car@").write_bytes(path.read_bytes())
    assert parse(f"{path}@").place == tmp_path / "air.car@"


PIECES = st.sampled_from(
    [
        *(
            "http://",
            "https://",
            "s3://",
            "az://",
            "ipfs://",
            "ipns://",
            "ipld://",
            "file://",
            "file:",
            "x://",
            ":",
            "://",
        ),
        *(
            "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
            "/ipfs/",
            "/ipns/",
            ".ipfs.",
            ".car",
            "h",
            "[::1]",
        ),
        *(
            "@",
            "#",
            "/",
            "?",
            "%",
            "%00",
            "%ff",
            "%2F",
            "..",
            ".",
            " ",
            "[",
            ":",
            "8080",
            "~",
            "\0",
            "\n",
            "é",
            "\ud800",
        ),
    ]
)


@given(st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=20)))
def test_any_text_is_an_address_or_a_clear_error(text: str) -> None:
    try:
        assert isinstance(parse(text), Address)
    except ValueError as error:
        assert type(error) is ValueError  # none of a library below, such as UnicodeError  # noqa: PT017
        assert str(error).startswith("expected ")  # noqa: PT017


@pytest.mark.parametrize("mode", ["r", "a", "x"])
def test_a_cid_without_blocks(mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = written(SOME).freeze()
    for where in (root, str(root), f"/ipfs/{root}"):
        with pytest.raises(ValueError, match=r"castore that has its blocks.*castore="):
            ipldstore.open(where, mode)
    with pytest.raises(ValueError, match="text of a CID"):
        ipldstore.open("ipfs://example.org", mode)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///data/air.car", "/data/air.car"),
        ("file://localhost/data/air.car", "/data/air.car"),
        ("FILE:///data/air.car", "/data/air.car"),
        ("file:/data/air.car", "/data/air.car"),
        ("file:///data/air%20pressure%3F%23.car", "/data/air pressure?#.car"),
        ("file:///data/%C3%A4.car", "/data/ä.car"),
        ("file:///data/%FF", os.fsdecode(b"/data/\xff")),
        ("C:/data", "C:/data"),
        ("a/b://c", "a/b:/c"),
        ("2020-01-01T00:00.car", "2020-01-01T00:00.car"),
        ("~/air.car", "~/air.car"),
        ("./s3:bucket", "s3:bucket"),
        ("s3 bucket: x", "s3 bucket: x"),
        ("profile:x", "profile:x"),
    ],
)
def test_paths(url: str, path: str) -> None:
    assert parse(url) == (Path(path), None, "")


@pytest.mark.parametrize(
    "url",
    [
        "file://server/share",
        "file://air.car",
        "file:///a?b",
        "file://",
        "file:///",
        "file:",
        "file:air.car",
        "FILE:./a",
    ],
)
def test_a_file_url_that_names_no_path_here(url: str) -> None:
    with pytest.raises(ValueError, match="expected a file: URL"):
        parse(url)


def test_a_path_object_with_a_colon() -> None:
    """pathlib makes this of "./s3:bucket", so there would be no other way to say it."""
    assert parse(Path("./s3:bucket")).place == Path("s3:bucket")


def test_an_empty_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a variable that is not set gives it; it was the current folder, which became a folder of blocks."""
    monkeypatch.chdir(tmp_path)
    for verb in (lambda: ipldstore.open("", "a"), lambda: ipldstore.compact(""), lambda: ipldstore.car_references("")):
        with pytest.raises(ValueError, match="found an empty text"):
            verb()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a folder", "ä.car"])
def test_a_file_url_is_a_path_everywhere(name: str, tmp_path: Path) -> None:
    url = (tmp_path / name).as_uri()
    with ipldstore.open(url, "x", fsync=False) as store:
        store.mapping.update(SOME)
    assert contents_of(tmp_path / name) == SOME
    ipldstore.compact(url)
    with ipldstore.open(url) as store:
        assert contents(store) == SOME
    if name.endswith(".car"):
        assert sorted(ipldstore.car_references(url)) == sorted(SOME)


@pytest.mark.parametrize("name", ["air.CAR", "air.Car"])
def test_the_suffix_counts_in_any_case(name: str, tmp_path: Path) -> None:
    with ipldstore.open(tmp_path / name, "a", fsync=False) as store:
        store.mapping.update(SOME)
    assert (tmp_path / name).is_file()
    assert contents_of(tmp_path / name) == SOME


def test_a_name_that_is_a_cid_and_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = str(written(SOME).freeze())
    with ipldstore.open(Path(root), "a", fsync=False) as store:
        store.mapping.update(SOME)
    with ipldstore.open(root) as store:
        assert contents(store) == SOME


# -- where a block store is expected, a dataset stands for its own --


def test_a_dataset_stands_for_its_block_store(tmp_path: Path) -> None:
    source = written(SOME)
    root = source.freeze()
    there = IPLDStore(FileSystemCAStore(tmp_path, fsync=False))
    pushed = ipldstore.push(root, source, there)
    assert pushed.blocks > len(SOME)
    assert ipldstore.pull(root, there, IPLDStore()) == pushed
    assert contents(ipldstore.open(root, castore=there)) == SOME
    assert contents(IPLDStore(there, root=root)) == SOME
    assert IPLDStore(there).castore is there.castore
    assert contents(there) == {}


@pytest.mark.parametrize("wrong", [{}, "folder", 5])
def test_what_has_no_blocks(wrong: Any) -> None:
    root = written(SOME).freeze()
    for use in (
        lambda: ipldstore.push(root, wrong, MappingCAStore()),
        lambda: ipldstore.push(root, MappingCAStore(), wrong),
        lambda: ipldstore.pull(root, wrong, MappingCAStore()),
        lambda: ipldstore.open(root, castore=wrong),
        lambda: IPLDStore(wrong),
    ):
        with pytest.raises(TypeError, match=f"IPLDStore, found {type(wrong).__name__}"):
            use()


@pytest.mark.parametrize("form", ["{}", "ipfs://{}", "/ipfs/{}"])
def test_cids_in_the_forms_that_people_have(form: str) -> None:
    source = written(SOME)
    root = source.freeze()
    text = form.format(root)
    assert contents(IPLDStore(source, root=text)) == SOME
    assert contents(ipldstore.open(text, castore=source)) == SOME
    store = IPLDStore(source)
    store.set_root(text)
    assert store.root_cid == root
    there = MappingCAStore()
    ipldstore.push(text, source, there)
    assert ipldstore.pull(text, source, there).blocks == 0
    assert source.to_car(since=text)
