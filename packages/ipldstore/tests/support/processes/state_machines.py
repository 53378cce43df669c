"""zarr's state machines over an IPLDStore, both unmodified: ``state_machines.py MACHINE memory|folder|objects|bucket``.

The options of the bucket, and its URL, are given as JSON on standard input.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore, ObjectCAStore
from ipldstore import IPLDStore
from zarr.testing import stateful


def main(machine: str, backend: str) -> None:
    options = json.loads(sys.stdin.read()) if backend == "bucket" else {}
    with tempfile.TemporaryDirectory() as folder:

        def castore() -> ContentAddressableStore:
            if backend == "bucket":
                return ObjectCAStore.from_url(**options)
            if backend == "objects":
                from obstore.store import MemoryStore

                return ObjectCAStore(MemoryStore())
            return MappingCAStore() if backend == "memory" else FileSystemCAStore(folder, fsync=False)

        run_state_machine_as_test(
            lambda: getattr(stateful, machine)(IPLDStore(castore())),  # type: ignore[arg-type]  # a factory will do
            settings=settings(
                max_examples=25,
                stateful_step_count=30,
                deadline=None,
                database=None,
                derandomize="CI" in os.environ,
            ),
        )
    print(machine, backend, "passed")  # noqa: T201  # read by the test that started it


if __name__ == "__main__":
    main(*sys.argv[1:])
