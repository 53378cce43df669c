"""The conformance suite finds what is wrong with backends, and its example passes."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import ipld_castore
import pytest
from ipld_castore import testing

HEAD = """
    import pytest
    from ipld_car import cids
    from ipld_castore import BlockNotFoundError, ContentAddressableStore, MappingCAStore, FileSystemCAStore
    from ipld_castore.testing.suite import blocks, graphs, use

    CASES = blocks.BlockTests, graphs.GraphTests, use.UseTests  # values are the same code above any backend

    class Suite(*CASES):
        make = MappingCAStore
        depth = width = 20

        @pytest.fixture
        def castore(self):
            return self.make()

        def corrupt(self, castore, cid, data):
            if data is None:
                del castore.mapping[str(cid)]
            else:
                castore.mapping[str(cid)] = data
"""

# Backends with one thing wrong, and the tests that must not pass then.
WRONG = {
    "nothing": ("pass", ""),
    "takes empty blocks for absent": (
        "def get_block(self, cid): return self.mapping.get(str(cid)) or super().get_block(cid + 0)",
        "the_empty_block",
    ),
    "loses empty blocks": (
        "def put_block(self, cid, data): data and super().put_block(cid, data)",
        "the_empty_block",
    ),
    "gives other errors": (
        "def get_block(self, cid): return self.mapping[str(cid)]",
        "absent_blocks_are_not_found a_missing_block_ends_the_walk",
    ),
    "gives nothing for absent blocks": (
        "def get_block(self, cid): return self.mapping.get(str(cid), b'')",
        "absent_blocks_are_not_found a_missing_block_ends_the_walk",
    ),
    "remembers what it has read": (
        """
        def __init__(self):
            super().__init__()
            self.read = {}
        def get_block(self, cid):
            if bytes(cid) not in self.read:
                self.read[bytes(cid)] = super().get_block(cid)
            return self.read[bytes(cid)]
        """,
        "a_removed_block_is_not_found",
    ),
    "answers has_block by guessing": (
        "def has_block(self, cid): return True",
        "a_block_is_there_once_it_was_put odd_archives deleting",
    ),
    "keys by codec and digest of version 1 only": (
        """
        def put_block(self, cid, data): self.mapping[str(cid)] = data
        def get_block(self, cid):
            if str(cid) not in self.mapping: raise BlockNotFoundError(str(cid))
            return self.mapping[str(cid)]
        def has_block(self, cid): return str(cid) in self.mapping
        """,
        "cid_version_0",
    ),
    "ends a listing early": ("def __iter__(self): return iter(list(super().__iter__())[:-1])", "listing"),
    "lists blocks twice": ("def __iter__(self): return iter(list(super().__iter__()) * 2)", "listing"),
    "does not delete": ("def delete_block(self, cid): pass", "deleting"),
    "cannot delete what is absent": ("def delete_block(self, cid): del self.mapping[str(cid)]", "deleting"),
    "keeps what was there": (
        "def put_block(self, cid, data): self.mapping.setdefault(str(cid), data)",
        "putting_repairs_a_damaged_block",
    ),
    "gives buffers": (
        "def get_block(self, cid): return bytearray(super().get_block(cid))",
        "put_raw_gives_the_cid_and_get_raw_the_bytes",
    ),
    "is not safe with threads": (
        """
        last = None
        def put_block(self, cid, data):
            import time
            self.last = str(cid), data
            time.sleep(0.0001)
            self.mapping[self.last[0]] = self.last[1]
        """,
        "threads_put_and_get_at_once",
    ),
    "puts many and forgets some": (
        """
        def put_blocks(self, pairs):
            for cid, data in list(pairs)[:-1]:
                self.put_block(cid, data)
        """,
        "many_blocks archives_are_imported",
    ),
    "drops all of many for an error": (
        """
        def put_blocks(self, pairs):
            for cid, data in list(pairs):
                self.put_block(cid, data)
        """,
        "an_error_while_putting_many a_damaged_archive",
    ),
    "swallows errors of the source": (
        """
        def put_blocks(self, pairs):
            try:
                super().put_blocks(pairs)
            except Exception:
                pass
        """,
        "an_error_while_putting_many a_damaged_archive blocks_that_prove_nothing_are_not_imported",
    ),
    "ends many at the first missing one": (
        """
        def get_blocks(self, wanted):
            for cid in wanted:
                if not self.has_block(cid):
                    return
                yield cid, self.get_block(cid)
        """,
        "a_missing_one_of_many",
    ),
    "walks breadth first": (
        """
        def get_dag(self, root):
            from ipld_car import links
            todo, seen = [cids.from_bytes(cids.to_bytes(root))], set()
            for cid in todo:
                if cid not in seen:
                    seen.add(cid)
                    data = self.get_raw(cid)
                    yield cid, data
                    todo.extend(links(cid, data))
        """,
        "a_walk_gives_each_block_once_in_order",
    ),
    "walks by recursion": (
        """
        def get_dag(self, root, seen=None):
            from ipld_car import links
            seen = set() if seen is None else seen
            cid = cids.from_bytes(cids.to_bytes(root))
            if cid not in seen:
                seen.add(cid)
                data = self.get_raw(cid)
                yield cid, data
                for link in links(cid, data):
                    yield from self.get_dag(link, seen)
        """,
        "a_deep_graph",
    ),
    "walks past what is missing": (
        """
        def get_dag(self, root):
            try:
                yield from super().get_dag(root)
            except KeyError:
                return
        """,
        "a_missing_block_ends_the_walk",
    ),
    "walks without verifying": (
        """
        def get_dag(self, root):
            from ipld_car import walk
            return walk(lambda cid: self.get_raw(cid, verify=False), root)
        """,
        "a_damaged_block_ends_the_walk",
    ),
    "cannot be closed twice": (
        """
        def close(self):
            del self._mapping
        """,
        "a_store_is_a_context",
    ),
    "is not what it was when pickled": (
        "def __getstate__(self): return self.__dict__ | {'_mapping': {}}",
        "a_pickle_has_the_same_blocks",
    ),
    "says that it cannot list": ("can_list = False", "listing"),
    "says that it cannot delete": ("can_delete = False", "deleting"),
    "says that it keeps no codecs": ("keeps_codecs = False", "listing"),
    "says that it cannot repair": ("can_repair = False", "putting_repairs_a_damaged_block"),
    "forgets its head": (
        """
        head = None
        def swap_head(self, expected, new): pass
        """,
        "the_head_moves_from_what_it_is one_of_many_moves_the_head",
    ),
    "shows its blocks": ("def __repr__(self): return repr(self.mapping)", "equality_and_text"),
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the tests that fail for each of the wrong backends."""
    code = textwrap.dedent(HEAD)
    for number, (body, _) in enumerate(WRONG.values()):
        says = body.startswith(("can_", "keeps_"))
        code += f"\n\nclass Wrong{number}(MappingCAStore):\n"
        code += textwrap.indent(textwrap.dedent("pass" if says else body), "    ")
        code += f"\n\nclass TestWrong{number}(Suite):\n    make = Wrong{number}\n    {body if says else 'pass'}\n"
        if "recursion" in list(WRONG)[number]:
            code += "    depth = 2000\n"
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_wrong.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-rA", "-p", "no:cacheprovider", "test_wrong.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    found = re.findall(r"^(FAILED|ERROR|PASSED) test_wrong\.py::TestWrong(\d+)::test_(\w+)", done.stdout, re.MULTILINE)
    assert len(found) > 50 * len(WRONG)
    return {
        name: {test for outcome, of, test in found if int(of) == number and outcome != "PASSED"}
        for number, name in enumerate(WRONG)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_the_suite_finds(failed: dict[str, set[str]], name: str) -> None:
    """The suite fails for each wrong backend, in the test that is named, and passes for a right one."""
    for expected in WRONG[name][1].split():
        assert any(test.startswith(expected) for test in failed[name]), failed[name]
    if name == "nothing":
        assert not failed[name]


@pytest.mark.slow
def test_the_example_passes(tmp_path: Path) -> None:
    """The example in the docstring of the suite passes."""
    assert testing.__doc__ is not None
    example = textwrap.dedent(testing.__doc__.partition("::\n")[2])
    (tmp_path / "test_example.py").write_text(example)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "test_example.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d\d passed", done.stdout)


def test_the_package_does_not_need_pytest() -> None:
    """The package imports no pytest; the suite does."""
    code = "import sys; sys.modules['pytest'] = None; import ipld_castore"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "testing" not in {name for name, _ in inspect.getmembers(ipld_castore) if name in ipld_castore.__all__}


@pytest.mark.slow
def test_a_failure_tells_which_attribute_is_wrong(tmp_path: Path) -> None:
    """In a project of its own, whose author has set up nothing: the assert was bare."""
    (tmp_path / "test_own.py").write_text(
        textwrap.dedent(
            """
            import pytest
            from ipld_castore import FileSystemCAStore
            from ipld_castore.testing import CAStoreTests

            class TestOwn(CAStoreTests):
                @pytest.fixture
                def castore(self, tmp_path):
                    return FileSystemCAStore(tmp_path / "blocks", fsync=False)
            """
        )
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_listing", "test_own.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "keeps_codecs = False is for" in done.stdout, done.stdout
