"""The file system ``ipld://``, by the entry point that fsspec finds, through zarr, pandas and intake too."""

from __future__ import annotations

import asyncio
import errno
import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipld_car import cids, unixfs
from ipld_castore import GatewayCAStore, MappingCAStore
from ipld_castore.testing import BlockServer
from ipldstore import BlockMissingError, IPLDStore, IPLDStoreError

from ..support.store_samples import zarr

fsspec = pytest.importorskip("fsspec", reason="the extra fsspec is not installed")

DATA = np.random.default_rng(7).integers(0, 255, 3 << 20, "u1").tobytes()
CSV = b"a,b\n1,2\n3,4\n"


class Sample:
    """Blocks with a UnixFS directory, and a dataset in it."""

    def __init__(self) -> None:
        self.blocks = MappingCAStore()
        store = IPLDStore(self.blocks)
        zarr.create_array(store, name="group/data", shape=(40,), chunks=(10,), dtype="i4", compressors=None)[:] = range(
            40
        )
        self.root = str(store.freeze())
        files = {"big.bin": self.file(DATA), "small.csv": self.file(CSV), "air": bytes(store.freeze())}
        many = {f"f{number:05}": self.file(b"%d" % number) for number in range(6000)}
        sub = self.directory({"sharded": self.directory(many), "one": self.file(b"1")})
        self.top = cids.to_text(self.directory({**files, "sub": sub}))

    def put(self, cid: bytes, data: bytes) -> None:
        self.blocks.put_block(cids.from_bytes(cid), data)

    def file(self, data: bytes) -> bytes:
        return unixfs.build(data, self.put)

    def directory(self, entries: dict[str, bytes]) -> bytes:
        return unixfs.build_directory([unixfs.PBLink(cid, name, 0) for name, cid in entries.items()], self.put).cid


@pytest.fixture(scope="module")
def sample() -> Sample:
    return Sample()


@pytest.fixture
def fs(sample: Sample) -> Any:
    return fsspec.filesystem("ipld", castore=sample.blocks)


@pytest.fixture
def server(sample: Sample) -> Iterator[BlockServer]:
    with BlockServer(MappingCAStore(dict(sample.blocks.mapping))) as server:
        yield server


def test_fsspec_finds_it(sample: Sample) -> None:
    fs, path = fsspec.url_to_fs(f"ipld://{sample.top}/big.bin", castore=sample.blocks)
    assert (type(fs).__name__, path) == ("IPLDFileSystem", f"{sample.top}/big.bin")
    assert fs.unstrip_protocol(path) == f"ipld://{sample.top}/big.bin"
    other = fsspec.filesystem("ipld", castore=MappingCAStore(dict(sample.blocks.mapping)))
    assert other is not fs
    assert other.castore is not fs.castore


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, 10), (1 << 20, (1 << 20) + 5), (-7, None), (5, -5), (-9, -3), (9, 3), (0, 1 << 40)],
)
def test_ranges(start: int | None, end: int | None, fs: Any, sample: Sample) -> None:
    assert fs.cat_file(f"ipld://{sample.top}/big.bin", start=start, end=end) == DATA[start:end]
    assert fs.cat_file(f"{sample.root}/group/data/c/1", start=start, end=end) == chunk(1)[start:end]


def chunk(number: int) -> bytes:
    return np.arange(number * 10, number * 10 + 10, dtype="<i4").tobytes()


def test_many_at_once(fs: Any, sample: Sample) -> None:
    paths = [f"{sample.root}/group/data/c/{number}" for number in range(4)]
    assert fs.cat(paths) == {path: chunk(number) for number, path in enumerate(paths)}
    ranges = fs.cat_ranges(paths, [0, 4, 8, -4], [4, 8, None, None])
    assert ranges == [chunk(0)[:4], chunk(1)[4:8], chunk(2)[8:], chunk(3)[-4:]]
    found = fs.cat_ranges([*paths[:1], f"{sample.root}/gone"], [0, 0], [4, 4], on_error="return")
    assert found[0] == chunk(0)[:4]
    assert isinstance(found[1], FileNotFoundError)


def test_what_is_there(fs: Any, sample: Sample) -> None:
    top, root = sample.top, sample.root
    big = fs.info(f"ipld://{top}/big.bin")
    assert (big["name"], big["size"], big["type"]) == (f"{top}/big.bin", len(DATA), "file")
    assert fs.info(big["cid"])["size"] == len(DATA)
    assert fs.info(f"{top}/sub")["type"] == fs.info(f"{root}/group")["type"] == "directory"
    assert fs.info(f"{root}/group/data/c/0")["size"] == fs.info(f"{top}/air/group/data/c/0")["size"] == 40
    for path in (top, f"{top}/sub/sharded/f00001", f"{top}/air", f"{top}/air/group", root, f"{root}/zarr.json"):
        assert fs.exists(path)
    for path in (
        f"{top}/gone",
        f"{top}/big.bin/x",
        f"{root}/gone",
        f"{root}/zarr.json/x",
        "x",
        "",
        f"{top}/..",
        f"{top}//sub",
    ):
        assert not fs.exists(path), path
        with pytest.raises(FileNotFoundError):
            fs.info(path)
        with pytest.raises(FileNotFoundError):
            fs.cat_file(path)
    assert fs.isfile(f"{top}/small.csv")
    assert fs.isdir(f"{top}/sub")
    with pytest.raises(IsADirectoryError):
        fs.cat_file(f"{top}/sub")


def test_listing(fs: Any, sample: Sample) -> None:
    top, root = sample.top, sample.root
    assert fs.ls(top, detail=False) == [f"{top}/{name}" for name in ("air", "big.bin", "small.csv", "sub")]
    sizes = {info["name"].rpartition("/")[2]: (info["type"], info["size"]) for info in fs.ls(f"ipld://{top}")}
    assert sizes == {
        "air": ("directory", 0),
        "big.bin": ("file", len(DATA)),
        "small.csv": ("file", len(CSV)),
        "sub": ("directory", 0),
    }
    assert fs.ls(f"{top}/small.csv", detail=False) == [f"{top}/small.csv"]
    assert len(fs.ls(f"{top}/sub/sharded", detail=False)) == 6000
    assert fs.ls(f"{root}/group/data", detail=False) == [f"{root}/group/data/{name}" for name in ("c", "zarr.json")]
    chunks = [f"{root}/group/data/c/{number}" for number in range(4)]
    assert fs.find(f"{root}/group/data/c") == chunks
    assert fs.find(f"{root}/group", withdirs=True) == sorted(
        [
            *chunks,
            f"{root}/group",  # as fsspec's own file systems list it
            f"{root}/group/data",
            f"{root}/group/data/c",
            f"{root}/group/data/zarr.json",
            f"{root}/group/zarr.json",
        ]
    )
    assert fs.find(f"{root}/group", maxdepth=1) == [f"{root}/group/zarr.json"]
    assert f"{top}/air/group/data/c/3" in fs.find(top)
    assert f"{top}/sub/sharded/f05999" in fs.find(top)
    assert fs.find(top, maxdepth=1) == [f"{top}/big.bin", f"{top}/small.csv"]
    assert fs.du(f"{root}/group/data/c") == 160
    assert fs.glob(f"{top}/*.csv") == [f"{top}/small.csv"]
    assert fs.find(f"{top}/gone") == []


def test_files_are_opened(fs: Any, sample: Sample, tmp_path: Path) -> None:
    with fs.open(f"{sample.top}/big.bin") as file:
        file.seek(2 << 20)
        assert file.read(10) == DATA[2 << 20 : (2 << 20) + 10]
        file.seek(0)
        assert file.read() == DATA
    with fs.open(f"{sample.top}/small.csv", "r") as file:
        assert file.readline() == "a,b\n"
    fs.get(f"{sample.top}/sub/one", str(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == b"1"


def test_nothing_is_written(fs: Any, sample: Sample) -> None:
    path = f"{sample.top}/new"
    writes: list[Any] = [
        lambda: fs.pipe_file(path, b""),
        lambda: fs.open(path, "wb"),
        lambda: fs.rm(f"{sample.top}/small.csv"),
        lambda: fs.mkdir(path),
        lambda: fs.makedirs(path),
        lambda: fs.cp_file(f"{sample.top}/small.csv", path),
    ]
    for write in writes:
        with pytest.raises(OSError, match="does not change") as caught:
            write()
        assert caught.value.errno == errno.EROFS


def test_a_range_reads_only_its_blocks(server: BlockServer, sample: Sample) -> None:
    fs = fsspec.filesystem("ipld", gateways=server.url)
    path = f"{sample.top}/big.bin"
    fs.info(path)
    server.forget()
    assert fs.cat_file(path, start=10, end=20) == DATA[10:20]
    assert len(server.requests) <= 2  # the root of the file and one leaf
    server.forget()
    assert fs.cat_file(f"{sample.top}/sub/sharded/f04321") == b"4321"
    assert len(server.requests) <= 4  # a path, whose directories come together where they are not kept, and the file
    server.forget()
    assert not fs.exists(f"{sample.top}/gone")
    assert server.requests == []


def test_a_lost_or_damaged_block_is_not_an_absent_file(server: BlockServer, sample: Sample) -> None:
    """zarr takes a FileNotFoundError for a chunk that was never written."""
    fs = fsspec.filesystem("ipld", gateways=server.url)
    fs.info(f"{sample.root}/group/data/c/0")
    blocks = server.blocks
    assert isinstance(blocks, MappingCAStore)
    for key in list(blocks.mapping):
        if key not in (sample.root, sample.top):
            del blocks.mapping[key]
    with pytest.raises(BlockMissingError):
        fs.cat_file(f"{sample.root}/group/data/c/0")
    with pytest.raises(IPLDStoreError):
        fs.cat_file(f"{sample.top}/big.bin")
    array = zarr.open_array(f"ipld://{sample.root}/group/data", mode="r", storage_options={"gateways": server.url})
    with pytest.raises(IPLDStoreError):
        array[:]


def test_options(server: BlockServer, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs = fsspec.filesystem("ipld", gateways=[server.url], cache=tmp_path / "cache", timeout=60, retries=0)
    assert fs.cat_file(f"{sample.top}/small.csv") == CSV
    server.forget()
    again = fsspec.filesystem("ipld", gateways=[server.url], cache=tmp_path / "cache")
    assert again.cat_file(f"{sample.top}/small.csv") == CSV
    assert server.requests == []
    monkeypatch.setenv("IPFS_GATEWAY", server.url)
    found = fsspec.filesystem("ipld", node=False).castore
    assert isinstance(found, GatewayCAStore)
    assert found.address == server.url
    with pytest.raises(ValueError, match="found both"):
        fsspec.filesystem("ipld", castore=sample.blocks, gateways=server.url)
    copy = pickle.loads(pickle.dumps(fs))  # noqa: S301  # made here
    assert copy.cat_file(f"{sample.top}/sub/one") == b"1"


def test_from_an_event_loop(sample: Sample) -> None:
    async def read() -> Any:
        fs = fsspec.filesystem("ipld", castore=sample.blocks, asynchronous=True)
        return [await fs._cat_file(f"{sample.root}/group/data/c/{number}") for number in range(4)]

    assert asyncio.run(read()) == [chunk(number) for number in range(4)]


def test_zarr_reads_through_it(server: BlockServer, sample: Sample) -> None:
    for path in (f"ipld://{sample.root}", f"ipld://{sample.top}/air"):
        group = zarr.open_group(path, mode="r", storage_options={"gateways": server.url})
        assert group["group/data"][:].tolist() == list(range(40))
        assert sorted(group["group"].array_keys()) == ["data"]
    opened: Any = zarr.open(f"ipld://{sample.root}/group/data", storage_options={"gateways": server.url}, mode="r")
    assert opened[35:].tolist() == list(range(35, 40))


def test_pandas_reads_through_it(sample: Sample) -> None:
    pandas: Any = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.read_csv(f"ipld://{sample.top}/small.csv", storage_options={"castore": sample.blocks})
    assert table.to_dict("list") == {"a": [1, 3], "b": [2, 4]}


def test_xarray_reads_through_zarr(server: BlockServer) -> None:
    xr: Any = pytest.importorskip("xarray", reason="xarray is not installed")
    store = IPLDStore(server.blocks)
    xr.Dataset({"a": ("x", [1, 2, 3])}).to_zarr(store)
    url = f"ipld://{store.freeze()}"
    with xr.open_dataset(url, engine="zarr", storage_options={"gateways": server.url}) as found:
        assert found.a.values.tolist() == [1, 2, 3]


def test_intake_reads_through_it(server: BlockServer, sample: Sample) -> None:
    pytest.importorskip("intake", reason="intake is not installed")
    pytest.importorskip("pandas", reason="pandas is not installed")
    readers: Any = importlib.import_module("intake.readers")
    options = {"gateways": server.url}
    data: Any = readers.datatypes.CSV(url=f"ipld://{sample.top}/small.csv", storage_options=options)
    assert readers.PandasCSV(data).read().to_dict("list") == {"a": [1, 3], "b": [2, 4]}
