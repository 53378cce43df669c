"""open() of a bucket: its head is the root, and moves for one of many."""

from __future__ import annotations

import pickle
from typing import Any

import ipldstore
import pytest
from ipld_car.messages import Message
from ipld_castore import HeadMovedError, ObjectCAStore
from ipldstore._cli.wording import WORDS

from ..support.store_samples import contents

pytest.importorskip("obstore", reason="the extra object is not installed")


@pytest.fixture(params=["s3", "gcs"])
def address(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the address for open()."""
    server = request.getfixturevalue(request.param)
    url = f"s3://{request.getfixturevalue('bucket')}" if request.param == "s3" else server.new_bucket()
    return {"what": f"{url}/air", "storage_options": server.options()}


def test_written_and_read_again(address: dict[str, Any]) -> None:
    """The root that any other store would give, and the head names it."""
    with ipldstore.open(**address, mode="x") as store:
        store["a/0"] = b"chunk"
    expected = ipldstore.IPLDStore()
    expected["a/0"] = b"chunk"
    root = expected.freeze()
    assert ObjectCAStore.from_url(address["what"], **address["storage_options"]).head == root
    with ipldstore.open(**address) as store:
        assert store.root_cid == root
        assert contents(store) == {"a/0": b"chunk"}
        assert store.read_only
    with ipldstore.open(**address, mode="a") as store:
        store["a/1"] = b"more"
    assert contents(ipldstore.open(**address)) == {"a/0": b"chunk", "a/1": b"more"}


def test_what_must_be_there_or_must_not(address: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match=r'HEAD names a root.*the mode "a" makes') as caught:
        ipldstore.open(**address)
    in_command = Message(caught.value.strerror or "").in_words(WORDS)
    assert in_command.endswith("found none: `ipldstore import` writes a dataset there")
    ipldstore.open(**address, mode="a").close()
    with pytest.raises(FileExistsError, match="found bafy"):
        ipldstore.open(**address, mode="x")


def test_of_two_writers_the_second_is_told(address: dict[str, Any]) -> None:
    """Both roots are named, and nothing is lost: the changes are still there."""
    first, second = ipldstore.open(**address, mode="a"), ipldstore.open(**address, mode="a")
    first["a"] = b"1"
    second["b"] = b"2"
    root = first.freeze()
    with pytest.raises(Exception, match=str(root)) as caught:
        second.freeze()
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, HeadMovedError):
        cause = cause.__cause__
    assert isinstance(cause, HeadMovedError)
    assert cause.found == root
    assert second["b"] == b"2"
    assert "set_root" in "".join(caught.value.__notes__)
    first.close()
    ours = second.changes()
    assert set(ours.keys) == {"b"}
    second.set_root(root, discard_changes=True)
    second.merge(ours)
    second.close()
    assert contents(ipldstore.open(**address)) == {"a": b"1", "b": b"2"}


def test_a_session_goes_on_from_the_root_of_another(address: dict[str, Any]) -> None:
    """From a pickling on, what is read is remembered: it was of the root before, and no race with what is merged."""
    first, second = ipldstore.open(**address, mode="a"), ipldstore.open(**address, mode="a")
    pickle.dumps(second)
    second["b"], second["c"] = b"2", b"3"
    assert (second["b"], second["c"]) == (b"2", b"3")
    first["a"] = b"1"
    root = first.freeze()
    first.close()
    with pytest.raises(ipldstore.ConflictError):
        second.freeze()
    ours = second.changes()
    second.set_root(root, discard_changes=True)
    second.merge(ours)
    second["b"] = b"22"
    second.close()
    assert contents(ipldstore.open(**address)) == {"a": b"1", "b": b"22", "c": b"3"}


def test_options_of_buckets_are_for_buckets(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="storage_options with a URL"):
        ipldstore.open(tmp_path, "a", storage_options={"region": "x"})
    with pytest.raises(ValueError, match="found the URL of a bucket, s3://bucket/x"):
        ipldstore.car_references("s3://bucket/x")
    with pytest.raises(ValueError, match="storage_options with the URL of a bucket"):
        ipldstore.compact(tmp_path / "air.car", storage_options={"region": "x"})
