"""Work that takes long shows how far it is: a widget in a notebook, text on a terminal, nothing where nobody looks."""

from __future__ import annotations

import os
from pathlib import Path

import ipldstore
import pytest
from ipldstore import IPLDStore, compact, repair
from ipldstore._display import bars
from ipldstore._display.bars import is_wanted, open_bar, reporting

from ..support.command import air_car


def test_nobody_looks_at_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with open_bar("pushing", unit=" blocks") as bar:
        bar.update()
        bar.set(2, 3, "4 MB")
        bar.refresh()
    assert not bar.is_shown
    with reporting(None) as report:
        assert report is None
    assert capsys.readouterr().err == ""
    assert is_wanted(True)


def test_a_bar_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with open_bar("pushing", unit=" blocks", progress=True) as bar:
        bar.set(2, 3, "4 MB")
        bar.update()
    assert "pushing: 100%" in capsys.readouterr().err
    with reporting(True) as report:
        assert report is not None
        report("verifying", 3 << 20, None)
        report("verifying", 4 << 20, None)
    assert "verifying: 4.19MB" in capsys.readouterr().err


def test_verify_repair_and_compact_have_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = air_car(tmp_path / "air.car")
    store = IPLDStore.from_car(path.read_bytes())
    store.verify(progress=True)
    assert "verifying" in capsys.readouterr().err
    repair(path, store, progress=True)
    assert "repairing" in capsys.readouterr().err
    with ipldstore.open(tmp_path / "blocks", "a") as there:
        there["a/0"] = b"chunk"
    for place in (path, tmp_path / "blocks"):
        compact(place, progress=True)
        assert "keeping" in capsys.readouterr().err


def test_writing_with_dask_counts_its_tasks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a person looks on."""
    pytest.importorskip("dask", reason="dask is optional")
    xr = pytest.importorskip("xarray", reason="xarray is optional")
    data = xr.Dataset({"a": ("x", range(40))}).chunk({"x": 2})
    data.ipld.to_ipld(IPLDStore())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(bars, "is_wanted", lambda _: True)
    monkeypatch.setattr(bars, "_PATIENCE", 0)
    data.ipld.to_ipld(IPLDStore())
    assert "writing" in capsys.readouterr().err


NOTEBOOK = """
import ipldstore, ipldstore._display.bars
store = ipldstore.IPLDStore()
store["a/0"] = b"chunk"
report = store.verify(progress=True)
there = ipldstore.MappingCAStore()
ipldstore.push(store.freeze(), store, there)  # too short for a bar that nobody has asked for
assert ipldstore._display.bars.is_wanted(None)
"""


@pytest.mark.slow
def test_in_a_notebook_there_are_widgets() -> None:
    """In a real kernel of Jupyter."""
    nbformat = pytest.importorskip("nbformat", reason="Jupyter is not installed")
    nbclient = pytest.importorskip("nbclient", reason="Jupyter is not installed")
    pytest.importorskip("ipywidgets", reason="Jupyter's widgets are not installed")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    shown = [output["data"] for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in shown) == 1, notebook.cells[0].outputs
