"""The pages in a real Chromium: they show the hierarchy and pictures, in light and dark, and nothing in them runs."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import ipldstore
import numpy as np
import pytest
import zarr

from ..support.serving import Served, serving

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.slow,
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=5000",
]
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = tmp_path_factory.mktemp("browser") / "a.car"
    with ipldstore.open(path, "x") as store:
        group = zarr.create_group(store, attributes={"title": HOSTILE, "<b>": "</table></details><script>1</script>"})
        array = group.create_array("t2m", shape=(40, 60), chunks=(20, 30), dtype="f4", dimension_names=("y", "x"))
        array[:] = np.arange(2400).reshape(40, 60)
        group.create_group("model")
    with serving([path]) as running:
        yield running


def browse(tmp_path: Path, url: str, *more: str) -> str:
    """Return the document that a browser has made of a page."""
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *more, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return done.stdout


def root_of(served: Served) -> str:
    return served.get("/").text.partition('href="/ipfs/')[2].partition('"')[0]


def test_the_page_of_a_dataset(served: Served, tmp_path: Path) -> None:
    document = browse(tmp_path, f"{served.url}/ipfs/{root_of(served)}", "--dump-dom")
    assert "t2m" in document
    assert "/model" in document
    assert "broken" not in document.partition("</title>")[0]
    assert "<script" not in document
    assert "&lt;img src=x" in document


def pixels_of(path: Path) -> bytes:
    """Return the rows of an image in PNG, without looking at filters: enough to tell whether two differ."""
    data, at, found = path.read_bytes(), 8, b""
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IDAT":
            found += data[at + 8 : at + 8 + length]
        at += length + 12
    return zlib.decompress(found)


def test_light_and_dark_and_the_picture(served: Served, tmp_path: Path) -> None:
    url = f"{served.url}/ipfs/{root_of(served)}/t2m"
    shots = {}
    for name, more in (("light", []), ("dark", ["--force-dark-mode", "--enable-features=WebContentsForceDark"])):
        shots[name] = tmp_path / f"{name}.png"
        browse(tmp_path, url, f"--screenshot={shots[name]}", "--window-size=900,700", *more)
    assert pixels_of(shots["light"]) != pixels_of(shots["dark"])
    picture = served.get(f"/ipfs/{root_of(served)}/t2m?picture")
    assert picture.headers["Content-Type"] == "image/png"
    document = browse(tmp_path, url, "--dump-dom")
    assert f'src="/ipfs/{root_of(served)}/t2m?picture"' in document
