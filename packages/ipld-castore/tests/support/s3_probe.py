"""A probe of an S3 server: what races show with it is worth no more than its conditional puts are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from .s3_server import S3Server

WRITERS = 32


def race(action: Callable[[int], object]) -> list[int]:
    """Let writers act at once; return the numbers of those whose condition held."""
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    start = Barrier(WRITERS)

    def act(number: int) -> bool:
        start.wait()
        try:
            action(number)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        return [number for number, won in enumerate(pool.map(act, range(WRITERS))) if won]


def check_one_winner(server: S3Server, bucket: str, path: str) -> None:
    """Let 32 make an object at once, and then replace it by its ETag; each time one must win, whose bytes are there."""
    stores = [server.client(bucket) for _ in range(WRITERS)]
    (winner,) = race(lambda number: stores[number].put(path, b"%d" % number, mode="create"))
    found = stores[0].get(path)
    assert bytes(found.bytes()) == b"%d" % winner
    etag = found.meta["e_tag"]
    (winner,) = race(lambda number: stores[number].put(path, b"second %d" % number, mode={"e_tag": etag}))
    assert bytes(stores[0].get(path).bytes()) == b"second %d" % winner
