"""What holds for the tests of all packages: asserts that explain themselves, and how hypothesis runs."""

import importlib.util
import os

import pytest
from hypothesis import settings

# A real IPFS node and a real S3 server, for the tests of ipld_castore and those across packages.
_kubo = importlib.import_module("packages.ipld-castore.tests.support.kubo_fixtures")
kubo, kubo_binary, pytest_configure = _kubo.kubo, _kubo.kubo_binary, _kubo.pytest_configure
_s3 = importlib.import_module("packages.ipld-castore.tests.support.s3_fixtures")
atomic_s3, bucket, s3, s3_proxy = _s3.atomic_s3, _s3.bucket, _s3.s3, _s3.s3_proxy

# The suite that backends subclass. Imported here, as doctests are collected first, and pytest collects a
# package's __init__ without rewriting its asserts. (ipld_car is tested without ipld_castore being there.)
pytest.register_assert_rewrite("ipld_castore.testing")
if importlib.util.find_spec("ipld_castore"):
    importlib.import_module("ipld_castore.testing")

# No deadlines: a slow machine is no failure, and speed is measured in benchmarks/.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
