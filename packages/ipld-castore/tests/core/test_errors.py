"""The errors: what else they are caught as, what they say, and what travels with them between processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from ipld_car import cids, hashes
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockMalformedError,
    BlockNotFoundError,
    CAStoreError,
    FileSystemCAStore,
    HashRefusedError,
    HeadMovedError,
    HeadRefusedError,
    MappingCAStore,
    ReadOnlyStoreError,
)
from multiformats import CID

pytestmark = pytest.mark.smoke

HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (BlockNotFoundError, KeyError),
        (BlockCorruptError, ValueError),
        (BlockMalformedError, ValueError),
        (HashRefusedError, ValueError),
        (BackendUnavailableError, OSError),
        (ReadOnlyStoreError, PermissionError),
        (HeadRefusedError, ValueError),
    ],
)
def test_a_family_that_people_catch_already(error: type[CAStoreError], builtin: type[Exception]) -> None:
    """Each error is a CAStoreError and one builtin, has its message unchanged, and can be pickled."""
    assert issubclass(error, CAStoreError)
    assert issubclass(error, builtin)
    others = {KeyError, ValueError, OSError, NotImplementedError} - set(builtin.__mro__)
    assert not any(issubclass(error, other) for other in others)
    raised = error("no block 'x' in \"y\"")
    copy = pickle.loads(pickle.dumps(raised))  # noqa: S301  # our own
    assert str(raised) == str(copy) == "no block 'x' in \"y\""
    assert type(copy) is error


def test_a_missing_block(tmp_path: Path) -> None:
    """The error of a missing block names the CID and the store."""
    with pytest.raises(BlockNotFoundError) as caught:
        MappingCAStore().get(HELLO)
    assert str(caught.value) == f"no block {HELLO} in this dict"
    with pytest.raises(BlockNotFoundError) as caught:
        FileSystemCAStore(tmp_path).get(HELLO)
    assert str(caught.value) == f"no block {HELLO} in {tmp_path}"


def test_a_corrupt_block() -> None:
    """The error of a corrupt block names the CID, both digests and the store, and says what to do."""
    with pytest.raises(BlockCorruptError) as caught:
        MappingCAStore({HELLO: b"Hello"}).get(HELLO)
    assert str(caught.value) == (
        f"corrupt block: expected bytes with the hash of {HELLO}, found 5 bytes whose digest is "
        f"{hashes.digest_of(cids.SHA2_256, b'Hello').hex()} (read from <MappingCAStore: 1 keys in a dict>; "
        "put the block there again)"
    )


def test_a_hash_that_proves_nothing() -> None:
    """The error of a refused hash function names it, and those that are accepted."""
    cid = cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(hashes.MD5, b""), hashes.MD5))
    with pytest.raises(HashRefusedError) as caught:
        MappingCAStore().get(cid)
    assert str(caught.value) == (
        f"expected a CID with sha2-256, sha2-512, blake3 or blake2b-256, found hash function 0xd5: {cid}"
    )
    with pytest.raises(HashRefusedError, match="digest of 20 to 32 bytes, found 500: ") as caught:
        MappingCAStore().get(cids.make(cids.RAW, bytes(500)))
    assert len(str(caught.value)) < 500
    with pytest.raises(HashRefusedError, match="identity CID of at most 128 bytes, found one of 129"):
        _ = cids.make(cids.RAW, bytes(129), cids.IDENTITY) in MappingCAStore()


def test_a_block_of_another_codec() -> None:
    """The error of another codec names it, and the verb that returns the bytes."""
    store = MappingCAStore()
    cid = store.put_raw(b"{}", "dag-json")
    with pytest.raises(BlockMalformedError) as caught:
        store.get(cid)
    assert str(caught.value) == (
        f"expected a raw, dag-pb or dag-cbor block, found codec 0x129: {cid} (get_raw gives its bytes)"
    )


def test_a_head_that_has_moved(tmp_path: Path) -> None:
    """The error of a moved head has both heads, as text and as attributes, also after a pickle."""
    store = FileSystemCAStore(tmp_path)
    one, two = store.put(1), store.put(2)
    store.swap_head(None, one)
    with pytest.raises(HeadMovedError) as caught:
        store.swap_head(CID.decode(str(two)), two)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301  # our own
        assert (error.expected, error.found) == (two, one)
        assert str(error).startswith(f"expected the head {two} in {tmp_path}, found {one}: ")


def test_a_hash_function_that_no_store_writes() -> None:
    """The error of an unknown hash function names the known ones."""
    with pytest.raises(ValueError, match="expected a hash function of sha2-256, blake3; found 'md5'"):
        MappingCAStore(hash="md5")


def test_an_extra_that_is_not_installed() -> None:
    """A missing extra is an error when the store is made, not at the first block."""
    code = "import sys; sys.modules['blake3'] = None; import ipld_castore; ipld_castore.MappingCAStore(hash='blake3')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'ipld-car[blake3]'" in done.stderr.splitlines()[-1]


def test_what_is_no_cid() -> None:
    """A text that is no CID is a ValueError that quotes it; another type is a TypeError."""
    store = MappingCAStore()
    with pytest.raises(ValueError, match="expected the text of a CID, found 'nonsense'"):
        store.get("nonsense")
    with pytest.raises(TypeError, match=r"expected a CID as multiformats\.CID, str or bytes, found int"):
        store.get(5)  # type: ignore[arg-type]  # the wrong type is what is tested
