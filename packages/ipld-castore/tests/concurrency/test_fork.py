"""What a forked child has for itself, whatever the threads of its parent were doing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import weakref

import pytest
from ipld_castore.concurrency import ForkLocal, process_id, renew_after_fork

FORK = """
import os, sys, threading, time
from ipld_castore.concurrency import ForkLocal, InFlight, process_id, renew_after_fork

class Renewed:
    times = 0
    def renew(self):
        assert table.value == {}
        self.times += 1

lock, table, calls, here = ForkLocal(threading.Lock), ForkLocal(dict), InFlight(), process_id()
renewed, dropped = Renewed(), Renewed()
renew_after_fork(renewed.renew)
renew_after_fork(dropped.renew)
del dropped
table.value["parent"] = True
inside, leave = threading.Event(), threading.Event()
def hold():
    with lock.value:
        inside.set()
        leave.wait()
    return "parent"
thread = threading.Thread(target=calls.fetch, args=(b"key", hold))
thread.start()
inside.wait()
child = os.fork()
if not child:
    assert lock.value.acquire(timeout=60)  # the parent's thread holds the parent's
    assert calls.fetch(b"key", lambda: "child") == "child"
    assert table.value == {} and renewed.times == 1
    assert process_id() != here and len(process_id()) == 32
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert lock.value.locked() and table.value == {"parent": True} and renewed.times == 0 and process_id() == here
leave.set()
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks there")
def test_a_child_while_a_thread_holds_a_lock() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=False, timeout=120)
    assert done.returncode == 0


def test_a_pickle_has_a_value_of_its_own() -> None:
    lock = ForkLocal(threading.Lock)
    with lock.value:
        assert not pickle.loads(pickle.dumps(lock)).value.locked()  # noqa: S301  # our own


def test_what_is_dropped_is_forgotten() -> None:
    """Registering keeps nothing alive."""

    class Thing:
        def renew(self) -> None: ...

    thing = Thing()
    local: ForkLocal[dict[str, int]] = ForkLocal(dict)
    renew_after_fork(thing.renew)
    seen = weakref.ref(thing), weakref.ref(local)
    del thing, local
    assert [each() for each in seen] == [None, None]
    assert process_id() == process_id()
