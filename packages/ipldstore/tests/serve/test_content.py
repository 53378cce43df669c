"""What the server gives from sources of all kinds: pictures, paths, folders, repositories, damaged and lost blocks."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_car import CarReader, cids, unixfs
from ipld_car.codecs import dagpb
from ipld_castore import BackendUnavailableError, BlockNotFoundError, MappingCAStore
from ipldstore import IPLDStore, Repository
from ipldstore._display.outline import ArrayOutline, outline
from ipldstore._serve.pages.picture import is_shown, picture_of
from ipldstore._serve.served_blocks import ServedBlocks
from ipldstore._serve.sources import Source, open_source
from ipldstore._serve.traversal import NoSuchPathError, resolve
from multiformats import CID

from ..support.serving import serving


def source_of(castore: MappingCAStore, *roots: CID) -> Source:
    return Source("memory", castore, tuple(map(bytes, roots)), castore.close)


def array_of(values: np.ndarray[Any, Any], **more: Any) -> tuple[IPLDStore, ArrayOutline]:
    store = IPLDStore()
    array = zarr.create_array(store, name="a", shape=values.shape, dtype=values.dtype, **more)
    array[...] = values
    found = outline(store, "a")
    assert isinstance(found, ArrayOutline)
    return store, found


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def test_pictures_of_numbers() -> None:
    """Of more than two axes the last two; long axes are thinned out, short ones grow; all of one value, and gaps."""
    for values, expected in (
        (np.arange(12.0).reshape(3, 4), (240, 180)),
        (np.zeros((2, 3, 700, 1000), "i2"), (334, 350)),
        (np.array([[True, False]]), (240, 120)),
        (np.full((2, 2), np.nan), (240, 240)),
    ):
        store, array = array_of(values, chunks=values.shape)
        kind, picture = picture_of(store, array, 64 << 20)
        assert (kind, size_of(picture)) == ("image/png", expected)


def test_a_line_has_a_gap_where_there_is_no_value() -> None:
    store, array = array_of(np.array([0.0, 1.0, np.nan, 2.0, 3.0]))
    kind, picture = picture_of(store, array, 1 << 20)
    assert kind == "image/svg+xml"
    assert picture.count(b"<polyline") == 2


def test_times_and_fill_values_are_shown() -> None:
    store, array = array_of(np.array(["2020-01-01", "NaT", "2020-01-03"], "M8[s]"), zarr_format=2)
    assert picture_of(store, array, 1 << 20)[1].count(b"<polyline") == 2
    store, array = array_of(np.array([1, -9, 3], "i4"), fill_value=-9)
    assert picture_of(store, array, 1 << 20)[1].count(b"<polyline") == 2


def test_only_as_many_chunks_as_are_allowed_are_read() -> None:
    store, array = array_of(np.ones((40, 40), "f8"), chunks=(10, 10))
    _, picture = picture_of(store, array, 800 * 4)
    assert size_of(picture)[0] < size_of(picture_of(store, array, 1 << 20)[1])[0] * 2
    assert not is_shown(array, 100)
    with pytest.raises(NoSuchPathError, match="at most 100 bytes"):
        picture_of(store, array, 100)


def test_what_is_no_number_has_no_picture() -> None:
    _, words = array_of(np.array(["a", "b"], "U1"))
    _, nothing = array_of(np.zeros((0,), "f4"), chunks=(1,))
    assert not is_shown(words, 1 << 20)
    assert not is_shown(nothing, 1 << 20)


def test_a_folder_and_a_repository_are_served(tmp_path: Path) -> None:
    """A repository with its history: its state is a root, and so is the root of its data."""
    with Repository.create(tmp_path / "repo.car") as repo, repo.transaction(message="first") as store:
        zarr.create_array(store, name="a", shape=(2,), dtype="i4")
    with ipldstore.open(tmp_path / "folder", "x") as plain:
        zarr.create_array(plain, name="b", shape=(2,), dtype="i4")
    with serving([tmp_path / "repo.car", tmp_path / "folder"]) as running:
        index = running.get("/").text
        with Repository.open(tmp_path / "repo.car", read_only=True) as repo:
            state, commit = repo.cid, repo.lookup()
        assert str(state) in index
        for cid in (state, commit.cid, commit.data):
            assert running.get(f"/ipfs/{cid}?format=raw").status_code == 200
        assert {str(block.cid) for block in CarReader(running.get(f"/ipfs/{state}?format=car").content)} >= {str(state)}
        assert "folder" in index
    source = open_source(tmp_path / "folder")
    assert len(source.roots) == 1
    source.close()


def test_paths_that_are_no_text_and_slashes_in_names() -> None:
    """What cannot be decoded is a bad request, wherever it stands; %2F ends no name."""
    store, _ = array_of(np.arange(4.0), chunks=(4,))
    root = store.freeze()
    castore = store.castore
    assert isinstance(castore, MappingCAStore)
    with serving([source_of(castore, root)]) as server:
        for path in (f"/ipfs/{root}/%ff", f"/ipfs/{root}/a/%C3", "/ipfs/%ff", f"/ipfs/{root}/%ff?format=car"):
            refused = server.get(path)
            assert refused.status_code == 400, path
            assert "expected a path of percent-encoded UTF-8, found '%" in refused.text
        assert server.get(f"/ipfs/{root}/a/zarr.json").status_code == 200
        assert server.get(f"/ipfs/{root}/a%2Fzarr.json").status_code == 404
        assert server.get("/%ff").status_code == 404


def test_paths_through_maps_lists_and_directories() -> None:
    castore = MappingCAStore()
    leaf = castore.put_raw(b"leaf")
    directory = unixfs.build_directory(
        [unixfs.PBLink(bytes(leaf), "file", 4)], lambda cid, data: castore.put_block(cids.from_bytes(cid), data)
    )
    inner = castore.put({"list": [1, {"deep": leaf}], "text": "value"})
    top = castore.put({"inner": inner, "directory": cids.from_bytes(directory.cid)})

    def found(path: str) -> Any:
        return resolve(castore.get_raw, bytes(top), path.split("/"))

    assert found("inner/list/1/deep").cid == bytes(leaf)
    assert found("directory/file").cid == bytes(leaf)
    assert found("inner/text").cid == bytes(inner)
    for wrong in (
        "inner/list/7",
        "inner/list/x",
        "nothing",
        "directory/none",
        "inner/list/1/deep/more",
        "inner/text/a",
    ):
        with pytest.raises(NoSuchPathError):
            found(wrong)
    with pytest.raises(NoSuchPathError, match="at most 256"):
        resolve(castore.get_raw, bytes(top), ["a"] * 300)
    with serving([source_of(castore, top)]) as running:
        whole = running.get(f"/ipfs/{top}/inner/text?format=car&dag-scope=block")
        assert [block.cid for block in CarReader(whole.content)] == [top, inner]
        assert running.get(f"/ipfs/{top}/directory/file").content == b"leaf"
        assert running.get(f"/ipfs/{top}/directory/file", headers={"Range": "bytes=1-2"}).content == b"ea"
        assert running.http.head(f"{running.url}/ipfs/{top}/directory/file").headers["Content-Length"] == "4"
        plain = running.get(f"/ipfs/{top}/inner")
        assert plain.content == castore.get_raw(inner)
        again = running.get(f"/ipfs/{top}/inner", headers={"If-None-Match": plain.headers["ETag"]})
        assert again.status_code == 304
        car = running.get(f"/ipfs/{top}?format=car")
        fresh = running.get(f"/ipfs/{top}?format=car", headers={"If-None-Match": car.headers["ETag"]})
        assert fresh.status_code == 304
        assert running.http.head(f"{running.url}/ipfs/{top}?format=car").content == b""


def test_entities_that_are_neither_file_nor_directory() -> None:
    castore = MappingCAStore()
    put = lambda cid, data: castore.put_block(cids.from_bytes(cid), data)  # noqa: E731  # short, and used twice
    link = cids.from_bytes(unixfs.build_symlink("a/b", put).cid)
    other = castore.put_raw(dagpb.encode([], b"no UnixFS"), cids.DAG_PB)
    with serving([source_of(castore, link, other)]) as running:
        for cid in (link, other):
            answer = running.get(f"/ipfs/{cid}?format=car&dag-scope=entity")
            assert [block.cid for block in CarReader(answer.content)] == [cid]


class Broken(MappingCAStore):
    """A store whose blocks cannot be had, but for those that are named."""

    good: frozenset[bytes] = frozenset()

    def get_block(self, cid: CID) -> bytes:
        if bytes(cid) not in self.good:
            raise BackendUnavailableError(f"no way to {cid}")
        return super().get_block(cid)


def test_a_source_that_is_out_of_reach_is_502_and_asked_again() -> None:
    castore = Broken()
    leaf = castore.put_raw(b"leaf")
    node = castore.put([leaf])
    top = castore.put([node])
    castore.good = frozenset({bytes(top)})
    with serving([source_of(castore, top)]) as running:
        assert running.get(f"/ipfs/{node}?format=raw").status_code == 502
        assert running.get(f"/ipfs/{leaf}?format=raw").status_code == 404  # nobody could find out that it is reached
        castore.good = frozenset(map(bytes, (top, node, leaf)))
        assert running.get(f"/ipfs/{leaf}?format=raw").content == b"leaf"


def test_of_two_sources_the_one_with_a_sound_block_answers() -> None:
    damaged, sound = MappingCAStore(), MappingCAStore()
    cid = sound.put_raw(b"sound")
    damaged.put_block(cid, b"wrong")
    served = ServedBlocks([source_of(damaged, cid), source_of(sound, cid)])
    assert served.get_raw(cid) == b"sound"
    assert served.has_block(cid)
    assert not served.has_block(sound.put_raw(b"not reached"))
    assert served.address == "memory, memory"
    assert served.roots == (bytes(cid),)
    with pytest.raises(BlockNotFoundError):
        served.put_block(cid, b"sound")
    served.close()


def test_a_block_that_is_damaged_everywhere_is_502() -> None:
    castore = MappingCAStore()
    cid = castore.put_raw(b"sound")
    castore.put_block(cid, b"wrong")
    with serving([source_of(castore, cid)]) as running:
        assert running.get(f"/ipfs/{cid}?format=raw").status_code == 502
