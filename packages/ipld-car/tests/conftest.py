"""What the tests share: their helper module, and where the fixtures of other projects are."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for car_samples, the helpers; importlib mode adds nothing itself


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder with the archives of other projects; never committed here."""
    named = os.environ.get("IPLD_FIXTURES")
    folder = Path(named) if named else HERE.parents[2].parent / "shared" / "fixtures"
    if not (folder / "MANIFEST.md").is_file():
        reason = f"no fixtures at {folder} (IPLD_FIXTURES names another folder)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
