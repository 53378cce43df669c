"""How hypothesis runs: the same examples every time in CI, new ones at a desk."""

import os

import pytest
from hypothesis import settings

# Here, as the modules are collected for their doctests before the tests that subclass this suite.
pytest.register_assert_rewrite("ipld_castore.testing")

# No deadlines: a slow machine is no failure, and speed is measured in benchmarks/.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
