"""Files of odd kinds: what they hold is read right, or the error names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import ipldstore
import numpy as np
import pytest
import zarr

from .served_folder import serving

h5py: Any = pytest.importorskip("h5py")
xr: Any = pytest.importorskip("xarray")
pytest.importorskip("virtualizarr")

pytestmark = pytest.mark.filterwarnings("ignore:numpy.ndarray size changed", "ignore:Numcodecs codecs are not")

DATA = np.arange(100, dtype="i4")


def write(path: Path, **options: Any) -> None:
    with h5py.File(path, "w", **options) as file:
        file.create_dataset("a", data=DATA, chunks=(10,), compression="gzip")
        file["b"] = DATA[:7]


def values(path: Path, name: str) -> Any:
    with ipldstore.open(path) as store:
        return np.asarray(zarr.open_array(store, path=name, mode="r")[...])


@pytest.mark.parametrize("options", [{"userblock_size": 1024}, {"libver": "earliest"}, {"libver": "latest"}], ids=str)
def test_versions_of_the_format(tmp_path: Path, options: Any) -> None:
    write(tmp_path / "x.h5", **options)
    ipldstore.reference(tmp_path / "x.h5", tmp_path / "x.car")
    assert np.array_equal(values(tmp_path / "x.car", "a"), DATA)
    assert np.array_equal(values(tmp_path / "x.car", "b"), DATA[:7])


def test_a_link_to_another_file_is_refused(tmp_path: Path) -> None:
    """Its chunks would be taken for ranges of the file that has the link: wrong bytes without an error."""
    write(tmp_path / "x.h5")
    with h5py.File(tmp_path / "first.h5", "w") as file:
        file.create_dataset("a", data=DATA, chunks=(10,), compression="gzip")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["a"] = h5py.ExternalLink("x.h5", "/a")
    for names in (["link.h5"], ["first.h5", "link.h5"]):
        with pytest.raises(ValueError, match=r"link.h5, found a link to .*x\.h5"):
            ipldstore.reference([tmp_path / name for name in names], tmp_path / "x.car", concat_dim="phony_dim_0")


@pytest.mark.parametrize("damage", ["truncated", "no parser", "lzf"])
def test_the_error_names_the_file(tmp_path: Path, damage: str) -> None:
    write(tmp_path / "good.h5")
    write(tmp_path / "bad.h5")
    if damage == "truncated":
        (tmp_path / "bad.h5").write_bytes((tmp_path / "good.h5").read_bytes()[:3000])
    else:
        with h5py.File(tmp_path / "bad.h5", "w") as file:
            if damage == "lzf":
                file.create_dataset("a", data=DATA, compression="lzf")
            else:
                file["a"] = h5py.SoftLink("/nowhere")
    with pytest.raises((OSError, ValueError), match=r"bad\.h5"):
        ipldstore.reference(tmp_path / "bad.h5", tmp_path / "x.car")


def test_texts_of_variable_length_are_copied(tmp_path: Path) -> None:
    names = np.array(["Oslo", "Paris", "Łódź"], dtype=object)
    for number in range(2):
        xr.Dataset(
            {"station": ("site", names, {"long_name": "a name"}), "t": (("time", "site"), np.full((2, 3), number))},
        ).to_netcdf(tmp_path / f"{number}.nc", engine="h5netcdf")
    root = ipldstore.reference(
        [tmp_path / f"{number}.nc" for number in range(2)], tmp_path / "x.car", concat_dim="time"
    )
    with ipldstore.open(tmp_path / "x.car") as store:
        assert store.root_cid == root
        found = xr.open_zarr(store, consolidated=False, zarr_format=3).load()
    assert found["station"].values.tolist() == names.tolist()
    assert found["station"].attrs == {"long_name": "a name"}
    assert found["t"].values.tolist() == [[0] * 3] * 2 + [[1] * 3] * 2


def test_a_parser_of_the_users_choice(tmp_path: Path) -> None:
    """A warning names the codecs that readers need."""
    from virtualizarr.parsers import HDFParser

    write(tmp_path / "x.h5")
    with pytest.warns(UserWarning, match=r"x\.h5 need the zarr codecs numcodecs\.zlib"):
        root = ipldstore.reference(tmp_path / "x.h5", tmp_path / "x.car", parser=HDFParser())
    assert ipldstore.reference(tmp_path / "x.h5", tmp_path / "y.car") == root
    assert np.array_equal(values(tmp_path / "x.car", "a"), DATA)


@pytest.fixture
def url(tmp_path: Path) -> Any:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as url:
        yield url


def test_the_file_that_a_url_names_is_parsed(tmp_path: Path, url: str) -> None:
    """With percent-encoding and queries, too; the file that was parsed was another than the one that was hashed."""
    names = ["1%20x.h5", "1 x.h5", "50%.h5", "é#?;+.h5", "get"]  # what a parser might take for another comes first
    roots = []
    for number, name in enumerate(names):
        plain = tmp_path / f"{number}.h5"
        with h5py.File(plain, "w") as file:
            file.create_dataset("a", data=DATA, chunks=(10 * (number + 1),))
        roots.append(ipldstore.reference(plain, tmp_path / f"{number}.car"))
        (tmp_path / "served" / name).write_bytes(plain.read_bytes())
    for name, root in zip(names, roots, strict=True):
        for at, place in enumerate([quote(name), f"get?file={quote(name)}", f"{quote(name)}?folder=a/b"]):
            into = tmp_path / f"{at} {quote(name)}"
            assert ipldstore.reference(f"{url}/{place}", into) == root, place
            assert np.array_equal(values(into, "a"), DATA)
    with pytest.raises(ValueError, match=r"source without credentials.* for 127\.0\.0\.1") as error:
        ipldstore.reference(f"{url.replace('//', '//me:secret@')}/get", tmp_path / "secret.car")
    assert "secret@" not in str(error.value)


def test_files_on_a_server(tmp_path: Path, url: str) -> None:
    """The root is that of the same file on this machine; a file that is replaced is found."""
    write(tmp_path / "served" / "x.h5")
    root = ipldstore.reference(f"{url}/x.h5", tmp_path / "x.car")
    assert root == ipldstore.reference(tmp_path / "served" / "x.h5", tmp_path / "local.car")
    assert np.array_equal(values(tmp_path / "x.car", "a"), DATA)
    (tmp_path / "served" / "x.h5").write_bytes(bytes((tmp_path / "served" / "x.h5").stat().st_size))
    with pytest.raises(ipldstore.IPLDStoreError, match=rf"{url}/x\.h5"):
        values(tmp_path / "x.car", "a")
