"""What a copy has taken over: noted beside the target, so that a copy that was stopped does not read it again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class Marks:
    """Keys of a source with their stamps, in a file of lines of JSON. Threads may note keys.

    Keys are noted when they are written into the target, and count once the target was frozen.

    :param path: the file; None notes nothing
    :param source: what tells the source from others: notes of another one do not count
    :param state: returns the state of a chunk in the target, which is noted too when notes are written down
    """

    def __init__(self, path: Path | None, source: str, state: Callable[[str], str] | None = None) -> None:
        self.state = state
        """See above."""
        self._path = path
        self._source = source
        self._known: dict[str, str] = {}
        self._new: list[tuple[str, str]] = []
        self._file: IO[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._path is not None and self._path.exists():
            for line in self._path.read_text("utf-8").splitlines():
                try:
                    source, key, stamp = json.loads(line)
                except ValueError:  # the end of a note whose writer was killed
                    continue
                if source == self._source:
                    self._known[key] = stamp
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def are_kept(self) -> bool:
        """Whether keys are noted at all."""
        return self._path is not None

    @property
    def are_there(self) -> bool:
        """Whether anything was noted before: the target was made from this source."""
        return bool(self._known)

    @property
    def known(self) -> Mapping[str, str]:
        """What was noted before, by key."""
        return self._known

    def has(self, key: str, stamp: str) -> bool:
        """Return whether a key was taken over in this state."""
        return self._known.get(key) == stamp

    def forget(self) -> None:
        """Delete all notes: the target is not the one that they are of, or needs none any more."""
        with self._lock:
            self._known.clear()
            self._new.clear()
            if self._file is not None:
                self._file.close()
                self._file = None
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def note(self, key: str, stamp: str) -> None:
        """Note a key that was written into the target."""
        if self._path is not None:
            with self._lock:
                self._new.append((key, stamp))

    def mark(self) -> int:
        """Return how many keys were noted, for :meth:`commit` after a freeze."""
        return len(self._new)

    def commit(self, count: int | None = None) -> None:
        """Write down the first keys that were noted, which a freeze has made safe."""
        with self._lock:
            own = self._new[:count]
            if self._path is None or not own:
                return
            self._new = self._new[len(own) :]
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8")
            if self.state is not None:
                own = [(key, f"{stamp} {state}") for key, stamp in own if (state := self.state(key))]
            self._file.writelines(f"{json.dumps([self._source, *each])}\n" for each in own)
            self._file.flush()
