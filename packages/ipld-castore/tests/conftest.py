"""What the tests of this package share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("ipld_castore.testing")
