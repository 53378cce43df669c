"""The head of a bucket: it moves for one of many, and no lost answer is taken for what it is not."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest
from ipld_castore import BackendUnavailableError, FileSystemCAStore, HeadMovedError, ObjectCAStore, SupportsHead
from multiformats import CID

from ..support.fault_proxy import FaultProxy, Request
from ..support.proxy_faults import answered_503, lost_answer, lost_request, paused, slow_down, status, unquoted_etags
from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")


def is_put_of_head(request: Request) -> bool:
    return request.method == "PUT" and request.path.endswith("/HEAD")


def is_get_of_head(request: Request) -> bool:
    return request.method == "GET" and request.path.endswith("/HEAD")


@pytest.fixture
def direct(s3: S3Server, bucket: str) -> ObjectCAStore:
    """The store, without the proxy."""
    return ObjectCAStore.from_url(f"s3://{bucket}/x", **s3.options())


@pytest.fixture
def store(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> ObjectCAStore:
    """The store through the proxy; one request is one attempt."""
    options = s3.options(s3_proxy.url)
    return ObjectCAStore.from_url(f"s3://{bucket}/x", **options, retry_config={"max_retries": 0}, timeout="60s")


@pytest.fixture
def one(direct: ObjectCAStore) -> CID:
    return direct.put("one")


@pytest.fixture
def two(direct: ObjectCAStore) -> CID:
    return direct.put("two")


@pytest.fixture
def three(direct: ObjectCAStore) -> CID:
    return direct.put("three")


# -- what is lost on the way --


@pytest.mark.parametrize("fault", [lost_answer, answered_503], ids=["lost answer", "503 although it was put"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first head", "later head"])
def test_a_put_whose_answer_was_lost_has_succeeded(
    store: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID, fault: Callable[..., None], *, is_first: bool
) -> None:
    """It is not taken for a conflict, and not put again."""
    expected = None if is_first else one
    if not is_first:
        store.swap_head(None, one)
    s3_proxy.requests.clear()
    s3_proxy.inject(fault, when=is_put_of_head)  # type: ignore[arg-type]  # as the parameters are of two kinds
    store.swap_head(expected, two)
    assert store.head == two
    assert s3_proxy.count("PUT", "/HEAD") == 1
    with pytest.raises(HeadMovedError):
        store.swap_head(expected, one)


def test_obstores_own_second_try_of_a_put_that_had_arrived(
    s3: S3Server, s3_proxy: FaultProxy, bucket: str, one: CID, two: CID
) -> None:
    """obstore tries again after a 503, and is refused as its first try had arrived: that is no conflict."""
    retries = {"max_retries": 3}
    store = ObjectCAStore.from_url(f"s3://{bucket}/x", **s3.options(s3_proxy.url), retry_config=retries)
    store.swap_head(None, one)
    s3_proxy.requests.clear()
    s3_proxy.inject(answered_503, when=is_put_of_head)
    store.swap_head(one, two)
    assert s3_proxy.count("PUT", "/HEAD") == 2
    assert store.head == two


@pytest.mark.parametrize("fault", [lost_request, slow_down], ids=["lost request", "503"])
def test_a_put_that_did_not_arrive_is_tried_again(
    store: ObjectCAStore, direct: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID, fault: Callable[..., None]
) -> None:
    """It is not taken for a success."""
    store.swap_head(None, one)
    s3_proxy.inject(fault, when=is_put_of_head)  # type: ignore[arg-type]  # as above
    store.swap_head(one, two)
    assert direct.head == two
    assert s3_proxy.pending == 0


def test_a_store_that_is_down_is_no_success_and_no_conflict(
    store: ObjectCAStore, direct: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID
) -> None:
    """If it is unknown whether the head moved, the error says so, and a later call goes on."""
    store.swap_head(None, one)
    s3_proxy.inject(lost_request, 100, when=is_put_of_head)
    with pytest.raises(BackendUnavailableError, match="cannot put the head into"):
        store.swap_head(one, two)
    s3_proxy.clear()
    s3_proxy.inject(lost_answer, when=is_put_of_head)
    s3_proxy.inject(lost_request, 100, when=is_get_of_head)
    with pytest.raises(BackendUnavailableError, match="nor can it be found out whether it arrived"):
        store.swap_head(one, two)
    s3_proxy.clear()
    assert store.head == direct.head == two


def test_a_put_is_refused_for_good(store: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID) -> None:
    """A server that forbids it is asked once."""
    store.swap_head(None, one)
    s3_proxy.inject_always(status(403, "Forbidden", "<Error><Code>AccessDenied</Code></Error>"))
    s3_proxy.requests.clear()
    with pytest.raises(BackendUnavailableError, match="credentials are wrong or not enough"):
        store.swap_head(one, two)
    assert s3_proxy.count("PUT", "/HEAD") == 1


def test_after_a_lost_answer_another_writer_went_on(
    store: ObjectCAStore, direct: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID, three: CID
) -> None:
    """The head that is found is told; a note says that one's own may be in its history."""
    store.swap_head(None, one)
    at, go = Event(), Event()
    s3_proxy.inject(lost_answer, when=is_put_of_head)
    s3_proxy.inject(paused(at, go), when=is_get_of_head)
    caught: list[BaseException] = []

    def swap() -> None:
        try:
            store.swap_head(one, two)
        except HeadMovedError as error:
            caught.append(error)

    thread = Thread(target=swap)
    thread.start()
    assert at.wait(60)
    direct.swap_head(two, three)
    go.set()
    thread.join(60)
    (error,) = caught
    assert isinstance(error, HeadMovedError)
    assert (error.expected, error.found) == (one, three)
    assert any(f"may have been {two}" in note for note in error.__notes__)


def test_a_put_that_arrives_late_does_no_harm(
    store: ObjectCAStore, direct: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID, three: CID
) -> None:
    """The first request waits somewhere while the second succeeds and others go on: then its condition fails."""
    store.swap_head(None, one)
    s3_proxy.inject(lost_request, when=is_put_of_head)
    late: list[Request] = []
    store.swap_head(one, two)
    late = [request for request in s3_proxy.requests if is_put_of_head(request)][-2:]
    assert [request.headers["if-match"] for request in late[:1]] == [late[1].headers["if-match"]]
    direct.swap_head(two, three)
    import requests

    first = late[0]
    answer = requests.put(s3_proxy.url + first.path, data=first.body, headers=first.headers, timeout=60)
    assert answer.status_code == 412
    assert direct.head == three


# -- ETags --


@pytest.mark.parametrize("strict", [True, False], ids=["wants quotes", "wants none"])
def test_etags_without_quotes(
    store: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID, three: CID, *, strict: bool
) -> None:
    """Some servers strip the quotes of the ETags that they give; of those, some want them back all the same."""
    s3_proxy.inject_always(unquoted_etags(strict=strict))
    store.swap_head(None, one)
    store.swap_head(one, two)
    store.swap_head(two, three)
    assert store.head == three
    with pytest.raises(HeadMovedError):
        store.swap_head(two, one)


def test_a_server_that_never_accepts_its_own_etags(
    store: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID
) -> None:
    """No endless retries, and no conflict."""
    store.swap_head(None, one)
    s3_proxy.requests.clear()
    s3_proxy.inject(status(412, "Precondition Failed"), 100, when=is_put_of_head)
    with pytest.raises(BackendUnavailableError, match="refused 6 puts under the ETag that it had given"):
        store.swap_head(one, two)
    assert s3_proxy.count("PUT", "/HEAD") == 6


# -- what it costs, and what is there --


def test_a_head_that_is_known_moves_by_one_request(
    store: ObjectCAStore, s3_proxy: FaultProxy, one: CID, two: CID
) -> None:
    store.swap_head(None, one)
    s3_proxy.requests.clear()
    store.swap_head(one, two)
    assert [str(request).rsplit("/", 1)[1] for request in s3_proxy.requests] == ["HEAD"]
    assert s3_proxy.requests[0].method == "PUT"


def test_a_head_comes_after_the_blocks(store: ObjectCAStore, s3_proxy: FaultProxy, one: CID) -> None:
    """Blocks that cannot be sent keep the head where it is."""
    store.swap_head(None, one)
    s3_proxy.inject(lost_request, 100, when=lambda request: request.path.endswith(".data"))
    new = store.put("not there")
    with pytest.raises(BackendUnavailableError, match=str(new)):
        store.swap_head(one, new)
    assert store.head == one
    s3_proxy.clear()
    store.swap_head(one, new)
    assert store.head == new
    order = [request.path.rsplit("/", 1)[1] for request in s3_proxy.requests if request.method == "PUT"]
    assert order[-1] == "HEAD"
    assert len(order) == 2


@pytest.mark.parametrize("text", [b"", b"nonsense\n", b"\xff" * 10_000])
def test_a_head_that_is_no_cid(direct: ObjectCAStore, one: CID, text: bytes) -> None:
    """To take it for none would begin an empty dataset where one is."""
    direct.flush()
    direct.store.put("HEAD", text)
    with pytest.raises(BackendUnavailableError, match="head"):
        direct.head  # noqa: B018  # a property that looks
    with pytest.raises(BackendUnavailableError, match="head"):
        direct.swap_head(None, one)
    direct.store.delete("HEAD")  # or it was a proxy that had answered so
    direct.swap_head(None, one)
    assert direct.head == one


# -- races --

WRITER = """
    import pickle, sys
    from ipld_castore import HeadMovedError
    store = pickle.load(open(sys.argv[1], "rb"))
    print("ready", flush=True)
    sys.stdin.readline()
    told = 0
    for step in range(int(sys.argv[3])):
        while True:
            head = store.head
            new = store.put({"before": head, "writer": sys.argv[2], "step": step})
            try:
                store.swap_head(head, new)
            except HeadMovedError as error:
                assert error.expected == head and error.found != head
                told += 1
                if getattr(error, "__notes__", []):
                    print("unsure", new, flush=True)
                continue
            print("swapped", new, flush=True)
            break
    print("told", told, flush=True)
"""


def race(store: ObjectCAStore, folder: Path, writers: int, steps: int, *, losses: bool = False) -> int:
    """Let processes move one head; every success must be in the chain of heads. Returns how many losers were told.

    :param losses: answers are lost: who is told of a loss, and that it is not certain, may be in the chain too
    """
    import pickle

    assert isinstance(store, SupportsHead)
    pickled = folder / "store.pickle"
    pickled.write_bytes(pickle.dumps(store))
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(pickled)]
    processes = [
        subprocess.Popen([*command, str(number), str(steps)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(writers)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        lines = [process.communicate(timeout=120)[0].split("\n") for process in processes]
        assert [process.returncode for process in processes] == [0] * writers
    finally:
        for process in processes:
            process.kill()
            process.wait()
    swapped = [line.split()[1] for own in lines for line in own if line.startswith("swapped")]
    chain = []
    head = store.head
    while head is not None:
        chain.append(str(head))
        head = store.get(head)["before"]
    assert len(set(swapped)) == writers * steps
    unsure = {line.split()[1] for own in lines for line in own if line.startswith("unsure")}
    assert set(swapped) <= set(chain)
    assert set(chain) <= set(swapped) | unsure
    assert losses or not unsure
    return sum(int(line.split()[1]) for own in lines for line in own if line.startswith("told"))


@pytest.mark.slow
def test_processes_move_one_head_in_a_bucket(atomic_s3: S3Server, bucket: str, tmp_path: Path) -> None:
    """20 at once: each success is in the history of heads, each loser was told, none is lost."""
    store = ObjectCAStore.from_url(f"s3://{bucket}", **atomic_s3.options())
    assert race(store, tmp_path, 20, 3) > 0


@pytest.mark.slow
def test_processes_move_one_head_in_a_bucket_that_loses_answers(
    atomic_s3: S3Server, s3_proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    """Each third answer to a put of the head is lost; a loser may find itself in the history, a success is there."""
    puts = 0

    def each_third(request: Request) -> bool:
        nonlocal puts
        puts += is_put_of_head(request)
        return is_put_of_head(request) and puts % 3 == 0

    s3_proxy.inject(lost_answer, 1000, when=each_third)
    options = atomic_s3.options(s3_proxy.url)
    store = ObjectCAStore.from_url(f"s3://{bucket}", **options, retry_config={"max_retries": 2})
    race(store, tmp_path, 6, 3, losses=True)


@pytest.mark.slow
def test_processes_move_one_head_in_a_folder(tmp_path: Path) -> None:
    """obstore's LocalStore has no conditional puts; it shares the lock of FileSystemCAStore."""
    from obstore.store import LocalStore

    (tmp_path / "blocks").mkdir()
    store = ObjectCAStore(LocalStore(tmp_path / "blocks"))
    assert race(store, tmp_path, 8, 3) >= 0


def test_a_folder_has_one_head_for_both_stores(tmp_path: Path) -> None:
    from obstore.store import LocalStore

    folder = FileSystemCAStore(tmp_path, fsync=False)
    objects = ObjectCAStore(LocalStore(tmp_path))
    one, two = folder.put(1), folder.put(2)
    folder.swap_head(None, one)
    assert objects.head == one
    objects.swap_head(one, two)
    assert folder.head == two
    with pytest.raises(HeadMovedError):
        folder.swap_head(one, one)
