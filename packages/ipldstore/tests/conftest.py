"""What the tests of this package share: their helper modules and the vectors of the format."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipld_car.terminal.testing import Run, running_command
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore

from .support.far_datasets import many, server  # noqa: F401  # fixtures, which are found here
from .support.processes import FRESH, PRELOADED, preload, program

HERE = Path(__file__).parent

collect_ignore_glob = [
    "support/*",
    "foreign/peers/*",
    "foreign/samples.py",
    "merge/datasets.py",
    "repository/model.py",
    "writers/workers/*",
]


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of fixtures, those of the format among them; never committed here."""
    named = os.environ.get("IPLD_FIXTURES")
    folder = Path(named) if named else HERE.parents[2].parent / "shared" / "fixtures"
    if not (folder / "format-vectors.json").is_file():
        reason = f"no fixtures at {folder} (IPLD_FIXTURES names another folder)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def vectors(fixtures: Path) -> dict[str, Any]:
    """Contents with the roots that the format gives them, and keys that it refuses and accepts."""
    loaded: dict[str, Any] = json.loads((fixtures / "format-vectors.json").read_text("utf-8"))
    return loaded


@pytest.fixture(params=["memory", "folder"])
def castore(request: pytest.FixtureRequest, tmp_path: Path) -> ContentAddressableStore:
    """An empty block store of each kind that is on this machine."""
    if request.param == "memory":
        return MappingCAStore()
    return FileSystemCAStore(tmp_path / "blocks", fsync=False)


@pytest.fixture(scope="session")
def command() -> Iterator[Run]:
    """Run ``ipldstore`` as a process of its own; the expected exit code is 0 unless told."""
    with running_command("ipldstore._cli.main", "ipldstore", "ipldstore", PRELOADED) as run:
        yield run


@pytest.fixture(scope="session")
def python() -> Iterator[Run]:
    """Run the text of a program with arguments, as ``python -c`` does; the expected exit code is 0 unless told."""
    with running_command(program.__name__, "-c", program.__name__, PRELOADED) as run:
        yield run


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of dask's distributed whose workers are processes; it is not the default."""
    dask: Any = pytest.importorskip("dask", reason="dask is optional")
    distributed: Any = pytest.importorskip("distributed", reason="distributed is optional")
    method = distributed.utils.get_mp_context().get_start_method()
    assert method == FRESH.get_start_method(), "as the environment says that the conftest of the workspace sets"
    preload()  # distributed has a list of its own
    own = {
        "temporary-directory": str(tmp_path_factory.mktemp("dask")),
        "distributed.worker.profile.enabled": False,  # in Python 3.11 it can stop a worker that uses obstore
    }
    with (
        dask.config.set(own),
        distributed.LocalCluster(
            n_workers=4, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client
