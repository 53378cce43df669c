"""An archive in a bucket, on a real S3 server."""

from __future__ import annotations

import pickle
from typing import Any
from urllib.parse import unquote

import pytest
from ipld_car import CarError
from ipld_castore import BackendUnavailableError, CarCAStore, RemoteCarCAStore
from ipld_castore._object import credentials
from ipld_castore._object.options import open_store
from ipld_castore._object.recipe import _store_of

from ..support.range_server import archive, raw_blocks
from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")

BLOCKS = raw_blocks(20_000, 100)


@pytest.fixture
def store_of_bucket(s3: S3Server, bucket: str) -> Any:
    store = open_store(f"s3://{bucket}/air", s3.options())
    store.put("x.car", archive(BLOCKS, BLOCKS[0][0]))
    return store


@pytest.mark.usefixtures("store_of_bucket")
def test_it_reads(s3: S3Server, bucket: str) -> None:
    url = f"s3://{bucket}/air/x.car"
    with CarCAStore(url, storage_options=s3.options()) as store:
        assert bytes(store.roots[0]) == BLOCKS[0][0]
        assert url in store.address
        for text in (repr(store), store.address):
            assert s3.secret_key not in text
        for cid, data in BLOCKS[::997]:
            assert store.get_raw(cid) == data
        wanted = [store.roots[0], *(type(store.roots[0]).decode(cid) for cid, _ in BLOCKS[7000:9000])]
        assert sum(1 for _ in store.get_many_raw(wanted)) == 2001
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # made right here
        assert copy == store
        assert copy.get_raw(BLOCKS[5][0]) == BLOCKS[5][1]


@pytest.mark.usefixtures("store_of_bucket")
def test_workers_find_their_own_credentials(s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {**s3.options(), "credentials": "worker"}
    with CarCAStore(f"s3://{bucket}/air/x.car", storage_options=options) as store:
        pickled = pickle.dumps(store)
    assert s3.secret_key.encode() not in pickled
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    assert pickle.loads(pickled).get_raw(BLOCKS[7000][0]) == BLOCKS[7000][1]  # noqa: S301  # made right here


@pytest.mark.usefixtures("store_of_bucket")
def test_a_worker_without_credentials_fails_its_task(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of unpickling would end the process of a pool."""
    options = {**s3.options(), "credentials": "worker"}
    with CarCAStore(f"s3://{bucket}/air/x.car", storage_options=options) as store:
        pickled = pickle.dumps(store)
    _store_of.cache_clear()  # as in another process

    def none(*_: object) -> None:
        raise BackendUnavailableError("cannot find credentials")

    with monkeypatch.context() as worker:
        worker.setattr(credentials, "find", none)
        copy = pickle.loads(pickled)  # noqa: S301  # made right here
        with pytest.raises(BackendUnavailableError, match="cannot find credentials"):
            copy.get_raw(BLOCKS[0][0])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret_key)
    assert pickle.loads(pickle.dumps(copy)).get_raw(BLOCKS[0][0]) == BLOCKS[0][1]  # noqa: S301  # as above


@pytest.mark.parametrize("quoted", ["a%20b.car", "a b.car", "%C3%A4%25q.car", "at%401%23.car"])
def test_names_are_percent_encoded(quoted: str, s3: S3Server, bucket: str) -> None:
    """As those of folders in a bucket are, and as URLs elsewhere."""
    small = BLOCKS[:3]
    open_store(f"s3://{bucket}/d x", s3.options()).put(unquote(quoted), archive(small, small[0][0]))
    with CarCAStore(f"s3://{bucket}/d%20x/{quoted}", storage_options=s3.options()) as store:
        assert store.get_raw(small[2][0]) == small[2][1]


def test_its_url_is_one_for_other_programs(s3: S3Server, bucket: str) -> None:
    """References to its bytes name it; they are told the endpoint otherwise. Folders may have any name."""
    open_store(f"s3://{bucket}/one at two", s3.options()).put("x.car", archive(BLOCKS[:1], BLOCKS[0][0]))
    with CarCAStore(f"s3://{bucket}/one at two/x.car", storage_options=s3.options()) as store:
        assert isinstance(store, RemoteCarCAStore)
        assert store.url == f"s3://{bucket}/one at two/x.car"
        assert store.address == f"{store.url} at {s3.endpoint}"


def test_an_object_that_changes(store_of_bucket: Any, s3: S3Server, bucket: str) -> None:
    with CarCAStore(f"s3://{bucket}/air/x.car", storage_options=s3.options()) as store:
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # made right here
        store_of_bucket.put("x.car", archive(BLOCKS[1:], BLOCKS[1][0]))
        for each in (store, copy):
            with pytest.raises(BackendUnavailableError, match="has changed since it was opened"):
                each.get_raw(BLOCKS[9000][0])
        store_of_bucket.delete("x.car")
        with pytest.raises(BackendUnavailableError, match="no such object"):
            store.get_raw(BLOCKS[12_000][0])


def test_what_is_not_there(s3: S3Server, bucket: str) -> None:
    with pytest.raises(BackendUnavailableError, match="no such object"):
        CarCAStore(f"s3://{bucket}/x.car", storage_options=s3.options())
    with pytest.raises(ValueError, match="without a query") as refused:  # a signed URL has its secret there
        CarCAStore(f"s3://{bucket}/x.car?X-Amz-Signature=5EC12E7", storage_options=s3.options())
    assert "5EC12E7" not in str(refused.value)
    with pytest.raises(ValueError, match="percent-encoded UTF-8"):
        CarCAStore(f"s3://{bucket}/%FF.car", storage_options=s3.options())
    open_store(f"s3://{bucket}", s3.options()).put("empty.car", b"")
    with pytest.raises(CarError, match=r"empty.car at http.*expected a CAR header, found no bytes"):
        CarCAStore(f"s3://{bucket}/empty.car", storage_options=s3.options())
    with pytest.raises(ValueError, match="URL of an object"):
        CarCAStore(f"s3://{bucket}", storage_options=s3.options())
    with pytest.raises(ValueError, match="URL of an object"):
        CarCAStore(f"s3://{bucket}/folder/", storage_options=s3.options())
