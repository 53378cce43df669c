"""Take the screenshots of the documentation, light and dark: ``python3 dev.py run screenshots``.

Needs Chromium. What is shown is made here, so that the pictures change where the code does: the page of a server, and
what a notebook shows of a store, of its history and of a verification that found a lost chunk.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ipldstore
import numpy as np
import xarray as xr

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SCHEMES = {"dark": 0, "light": 1}
"""The colour schemes by Chromium's numbers."""
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--virtual-time-budget=5000",
]


def main() -> int:
    chromium = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if chromium is None:
        print(f"expected Chromium on PATH, one of {', '.join(CHROMIUM)}, found none", file=sys.stderr)
        return 2
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = air()
        path = folder / "air.car"
        root = dataset.ipld.to_ipld(path)
        for title, html in notebook_boxes(folder, dataset, path).items():
            page = folder / f"{title}.html"
            page.write_text(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><body>{html}", "utf-8")
            take(chromium, folder, page.as_uri(), title, (720, HEIGHTS[title]))
        with serving(path) as url:
            take(chromium, folder, f"{url}/ipfs/{root}", "serve", (720, HEIGHTS["serve"]))
    return 0


STYLE = "body{margin:8px;font-family:system-ui,sans-serif;background:Canvas;color-scheme:light dark}"
HEIGHTS = {"store": 350, "diff": 220, "verify": 330, "serve": 740}
"""How high each picture is, in pixels."""


def air() -> xr.Dataset:
    """Return a dataset that is good to look at."""
    time = np.arange(8) * np.timedelta64(1, "D") + np.datetime64("2020-01-01")
    latitude, longitude = np.linspace(90, -90, 37), np.linspace(0, 355, 72)
    waves = np.cos(np.radians(3 * longitude)) + np.cos(np.radians(longitude))
    values = 288 - 40 * np.sin(np.radians(latitude))[:, None] ** 2
    values = values + 4 * waves[None, :] * np.cos(np.radians(latitude))[:, None] ** 2
    t2m = np.stack([np.roll(values, 3 * day, axis=1) for day in range(8)]).astype("f4")
    ice = (14 - np.sin(np.arange(8))).astype("f4")
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), t2m, {"units": "K", "long_name": "temperature at 2 m"}),
            "ice": (("time",), ice, {"units": "10^6 km2"}),
        },
        coords={"time": time, "lat": latitude.astype("f4"), "lon": longitude.astype("f4")},
        attrs={"title": "a warm planet"},
    ).chunk(time=2, lat=37, lon=36)


def notebook_boxes(folder: Path, dataset: xr.Dataset, path: Path) -> dict[str, str]:
    """Return what a notebook shows, as HTML by the name of the picture."""
    store = ipldstore.IPLDStore.from_car(path.read_bytes())
    boxes = {"store": store._repr_html_()}
    chunk = store[next(key for key in store if key.startswith("t2m/c/1"))]
    changed = folder / "changed.car"
    dataset.assign_attrs(title="a warmer planet").assign(ice=dataset["ice"] - 1).ipld.to_ipld(changed)
    with ipldstore.open(path) as old, ipldstore.open(changed) as new:
        boxes["diff"] = ipldstore.diff(old, new)._repr_html_()
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(chunk) + len(chunk) // 2] ^= 1
    (folder / "damaged.car").write_bytes(damaged)
    with ipldstore.open(folder / "damaged.car") as store:
        boxes["verify"] = store.verify(progress=False)._repr_html_()
    return boxes


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """Yield the URL of a server of a file."""
    command = [sys.executable, "-m", "ipldstore", "serve", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield next(iter(server.stdout or ())).split()[-1]
        finally:
            server.terminate()


def take(chromium: str, folder: Path, url: str, title: str, size: tuple[int, int]) -> None:
    """Write the picture of a page in both schemes."""
    for scheme, number in SCHEMES.items():
        target = PICTURES / f"{title}-{scheme}.png"
        flags = [
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={size[0]},{size[1]}",
            f"--blink-settings=preferredColorScheme={number}",
            f"--screenshot={target}",
        ]
        subprocess.run([chromium, *FLAGS, *flags, url], check=True, capture_output=True, timeout=300)
        print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(main())
