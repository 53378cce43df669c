"""The commands on a bucket of a real S3 server."""

from __future__ import annotations

import json
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
