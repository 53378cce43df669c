"""How hypothesis runs: the same examples every time in CI, new ones at a desk."""

import os

from hypothesis import settings

# No deadlines: a slow machine is no failure, and speed is measured in benchmarks/.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
