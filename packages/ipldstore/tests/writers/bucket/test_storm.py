"""Sets of several processes while requests fail, are late or lose their answers, and sets are cancelled.

Each key is written by one process, so nothing may conflict. What a set has returned from is there, whatever comes late
of those before it; what has failed may be there.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any

import pytest
from ipldstore import ConflictError, IPLDStore, IPLDStoreError, ObjectCAStore
from zarr.core.buffer import default_buffer_prototype

from ...support.store_samples import contents, written
from ..workers.buckets import BASE, is_note, right
from ..workers.copies import Process

pytest.importorskip("obstore", reason="the extra object is not installed")

PROCESSES, ROUNDS, KEYS = 3, 4, 5
_BYTES = default_buffer_prototype().buffer.from_bytes
_OPENING = threading.Lock()


class Weather:
    """What happens to requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.is_bad = False

    async def __call__(self, exchange: Any) -> None:
        request, chance = exchange.request, self._random.random()
        is_block = request.method == "PUT" and request.path.endswith(".data")
        is_record = is_note(request) and not request.path.endswith("/state")
        if not self.is_bad or chance > 0.3 or not (is_block or is_record):
            await right(exchange)
            return
        if chance < 0.1:
            await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        await asyncio.sleep(self._random.random() * 0.2)
        answer = await exchange.forward()
        if chance < 0.15:
            await exchange.reset()
        elif chance < 0.2:
            await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        else:
            await exchange.send(answer.head + answer.body)


class Writer:
    """A process with keys of its own, and what each of them may have."""

    def __init__(self, number: int, seed: int, numbers: Any) -> None:
        self._process = Process(f"process {number}")
        self._random = random.Random(f"{number} {seed}")
        self._numbers = numbers
        self.allowed: dict[str, set[bytes | None]] = {f"{number}/c/{each}": {None} for each in range(KEYS)}

    def run(self, pickled: bytes) -> None:
        """Open a pickle, read, and write some keys at once, now and then the same."""
        with _OPENING:
            copy = self._process.open(pickled)
        self.check(copy)
        if self._random.random() < 0.3:
            self._in_threads(copy)
        else:
            asyncio.run(self._in_loop(copy))

    def check(self, store: IPLDStore) -> None:
        """Compare what a store has with what it may have."""
        for key, allowed in self.allowed.items():
            assert store.mapping.get(key) in allowed, key

    def _steps(self) -> list[tuple[str, bytes | None]]:
        keys = self._random.choices(list(self.allowed), k=self._random.randint(1, 6))
        return [(key, None if self._random.random() < 0.1 else b"%d" % next(self._numbers)) for key in keys]

    def _note_result(self, steps: list[tuple[str, bytes | None]], is_done: list[bool]) -> None:
        """Keep what each key may have, when all its sets of one time have ended; their order is any."""
        for key in dict(steps):
            own = [(value, done) for (each, value), done in zip(steps, is_done, strict=True) if each == key]
            before = set() if any(done for _, done in own) else self.allowed[key]
            self.allowed[key] = before | {value for value, _ in own}

    def _in_threads(self, copy: IPLDStore) -> None:
        def change(step: tuple[str, bytes | None]) -> bool:
            with suppress(IPLDStoreError):
                if step[1] is None:
                    copy.delete_sync(step[0])  # noted always; ``pop`` of what seems absent is not
                else:
                    copy[step[0]] = step[1]
                return True
            return False

        steps = list(dict(self._steps()).items())
        with ThreadPoolExecutor(6) as pool:
            self._note_result(steps, list(pool.map(change, steps)))

    async def _in_loop(self, copy: IPLDStore) -> None:
        async def change(key: str, value: bytes | None) -> None:
            await asyncio.sleep(self._random.choice((0, 0, 0.01)))
            await (copy.delete(key) if value is None else copy.set(key, _BYTES(value)))

        steps = self._steps()
        tasks = [asyncio.ensure_future(change(*step)) for step in steps]
        for task in tasks:
            if self._random.random() < 0.15:
                asyncio.get_running_loop().call_later(self._random.random() * 0.1, task.cancel)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [each for each in found if each is not None]
        assert all(isinstance(each, (asyncio.CancelledError, IPLDStoreError)) for each in errors), errors
        self._note_result(steps, [each is None for each in found])


def run_at_once(actions: list[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(len(actions)) as pool:
        for each in [pool.submit(action) for action in actions]:
            each.result()


def unless_refused(action: Callable[[], object]) -> None:
    """Run an action whose requests may fail; nothing may conflict."""
    try:
        action()
    except ConflictError:
        raise
    except IPLDStoreError:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_sets_in_bad_weather(atomic_s3: Any, bucket: str, s3_proxy: Any, seed: int) -> None:
    castore = ObjectCAStore.from_url(f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url))
    store, numbers, choose, weather = written(BASE, castore), count(), random.Random(seed), Weather(seed)
    s3_proxy.inject_always(weather)
    writers = [Writer(number, seed, numbers) for number in range(PROCESSES)]
    pickled = pickle.dumps(store)
    for _ in range(ROUNDS):
        actions: list[Callable[[], object]] = [partial(list, store), store.freeze, partial(pickle.dumps, store), int]
        beside = choose.choice(actions)
        weather.is_bad = True
        run_at_once([partial(unless_refused, beside), *(partial(each.run, pickled) for each in writers)])
        weather.is_bad = False
        pickled = choose.choice([pickled, pickle.dumps(store)])
        for each in writers:
            each.check(store)
    found = contents(store)
    assert found.keys() <= {key for each in writers for key in each.allowed} | set(BASE)
    for each in writers:
        each.check(store)
    assert store.freeze() == written(found).freeze()
    store.close()
