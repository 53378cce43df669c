"""The demo, on a file made here: it shows what it says, and it fails if anything differs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ipldstore import IPLDStore, MappingCAStore

pytest.importorskip("h5netcdf", reason="the demo reads netCDF with h5netcdf")

DEMO = Path(__file__).parents[1] / "scripts" / "demo.py"


def dataset() -> xr.Dataset:
    return xr.Dataset(
        {"reflectivity": (("time", "range"), np.arange(600.0).reshape(20, 30), {"units": "dBZ"})},
        coords={"time": np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(1, "s")},
        attrs={"title": "a scan of nothing"},
    )


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nc"
    dataset().to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture
def demo() -> ModuleType:
    specification = importlib.util.spec_from_file_location("demo", DEMO)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_it_shows_the_way_of_a_dataset(scan: Path) -> None:
    run = subprocess.run([sys.executable, str(DEMO), str(scan)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "identical" in run.stdout.splitlines()[-1]
    with xr.open_dataset(scan, engine="h5netcdf") as read:
        for zarr_format in (2, 3):
            store = IPLDStore()
            read.to_zarr(store, zarr_format=zarr_format)
            assert str(store.freeze()) in run.stdout
    assert len(re.findall(r"\d+ blocks, [\d,]+ bytes", run.stdout)) == 2


@pytest.mark.parametrize("what", ["values", "attributes", "a flip that is not seen"])
def test_it_fails_if_anything_differs(
    demo: ModuleType, scan: Path, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the parts that it uses each is made to do the wrong thing once."""
    open_zarr = xr.open_zarr

    def changed(*arguments: Any, **options: Any) -> xr.Dataset:
        found: xr.Dataset = open_zarr(*arguments, **options)
        return found + 1 if what == "values" else found.assign_attrs(title="another")

    def forgiving(blocks: dict[str, bytes]) -> MappingCAStore:
        whole.append(blocks)
        return MappingCAStore(blocks if not blocks else whole[-2])

    whole: list[dict[str, bytes]] = []
    said = "came back different"
    if what.startswith("a flip"):
        monkeypatch.setattr(demo, "MappingCAStore", forgiving)
        said = "was changed, and was read as if it were not"
    else:
        monkeypatch.setattr(xr, "open_zarr", changed)
    monkeypatch.setattr(sys, "argv", [str(DEMO), str(scan)])
    with pytest.raises(SystemExit, match=said):
        demo.main()
    assert "identical" not in capsys.readouterr().out.splitlines()[-1]
