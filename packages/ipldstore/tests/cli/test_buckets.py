"""The commands on a bucket of a real S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ipldstore
from ipld_car.terminal.testing import Run

from ..support.command import air_car


def test_push_moves_the_head_of_a_bucket(command: Run, atomic_s3: Any, bucket: str, tmp_path: Path) -> None:
    """What was pushed to a bucket is what the bucket opens as, and comes back by pull."""
    car = air_car(tmp_path / "air.car")
    url, options = f"s3://{bucket}/air", atomic_s3.options()
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in options.items()}
    given = [f"--target-option={name}={value}" for name, value in texts.items()]
    command("push", car, url, *given)
    with ipldstore.open(url, storage_options=options) as there, ipldstore.open(car) as here:
        assert there.root_cid == here.root_cid
    given = [each.replace("--target", "--source") for each in given]
    command("pull", tmp_path / "back.car", url, *given)
    assert "good" in command("verify", tmp_path / "back.car").text


def test_an_extra_that_is_not_installed_is_told_in_one_line() -> None:
    code = "import sys; sys.modules['obstore'] = None; from ipldstore._cli.main import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "info", "s3://b/air"], capture_output=True, text=True, check=False
    )
    message = "ipldstore: obstore is needed for object stores: pip install 'ipld-castore[object]'\n"
    assert (done.returncode, done.stderr) == (2, message)


def options_of(s3: Any, end: str) -> list[str]:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in s3.options().items()}
    return [f"--{end}-option={name}={value}" for name, value in texts.items()]


def test_both_ends_have_options(command: Run, s3: Any, bucket: str, tmp_path: Path) -> None:
    """Those of import and export were of the one end, and the other one had the environment's."""
    car, url = air_car(tmp_path / "air.car"), f"s3://{bucket}/air"
    command("import", car, url, *options_of(s3, "storage"))
    command("import", url, f"{url}2", *options_of(s3, "storage"), *options_of(s3, "source"))
    command("import", url, tmp_path / "back.car", *options_of(s3, "source"))
    with ipldstore.open(tmp_path / "back.car") as back, ipldstore.open(car) as here:
        assert back.root_cid == here.root_cid
        with ipldstore.open(f"{url}2", storage_options=s3.options()) as there:
            assert there.root_cid == here.root_cid
    command("export", url, tmp_path / "back.zarr", *options_of(s3, "storage"))
    for given in (("import", car, tmp_path / "y.car"), ("import", tmp_path / "back.zarr", tmp_path / "y.car")):
        assert "with a URL" in command(*given, "--source-option=region=x", code=2).err
    assert "--target-option" in command("export", car, tmp_path / "y.car", "--target-option=region=x", code=2).err
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("y")) == []
