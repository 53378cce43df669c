"""The command where its streams are closed, named twice or cut off, where it is stopped, and where it writes."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ipld_car.terminal.testing import Run

from ..support.car_samples import SMALL_V1, SMALL_V2, cid
from ..support.cli_samples import text

COMMAND = [sys.executable, "-m", "ipld_car"]


def in_shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in which IPLD_CAR is the command."""
    line = line.replace("IPLD_CAR", shlex.join(COMMAND))
    return subprocess.run(["/bin/sh", "-c", line], cwd=cwd, capture_output=True, text=True, check=False)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- standard streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["list a.car >&-", "--help >&-", "root - <&-", "wrap <&-"])
def test_a_closed_stream_is_told_and_nobody_takes_it_for_a_bad_archive(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.car").write_bytes(SMALL_V1)
    done = in_shell(f"IPLD_CAR {line}", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("ipld-car: expected standard input or output, found it closed")
    assert names_in(tmp_path) == ["a.car"]


def test_a_closed_stream_that_is_not_needed_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.car").write_bytes(SMALL_V1)
    assert in_shell("IPLD_CAR wrap a.car b.car <&- >&- 2>&-", tmp_path).returncode == 0
    assert (tmp_path / "b.car").exists()
    assert in_shell("IPLD_CAR verify a.car 2>&-", tmp_path).stdout.startswith("good")


@pytest.mark.parametrize("line", ["--help", "--version", "list --help", "root a.car"])
def test_nobody_listening_is_never_a_bad_archive(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.car").write_bytes(SMALL_V1)
    with subprocess.Popen(
        [*COMMAND, *line.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize(
    "line", ["concat - -", "merge - x -", "diff - -", "filter - out", "filter --append a.car -", "create - - -o out"]
)
def test_standard_input_is_read_once(line: str, ipld_car: Run, tmp_path: Path) -> None:
    (tmp_path / "a.car").write_bytes(SMALL_V1)
    assert "standard input" in ipld_car(*line.split(), stdin=SMALL_V1, code=2, cwd=tmp_path).err
    assert names_in(tmp_path) == ["a.car"]


def test_what_go_car_has_around_its_verbs(ipld_car: Run) -> None:
    """An index alone from standard input, the version as -v, and help as a word."""
    index = ipld_car("detach-index", "-", stdin=ipld_car("wrap", stdin=SMALL_V1).out).out
    listed = ipld_car("detach-index", "list", stdin=index).lines
    assert len(listed) == 5  # an identity CID needs no entry
    assert ipld_car("detach-index", "list", "-", stdin=index).lines == listed
    assert ipld_car("-v").text == ipld_car("--version").text
    assert ipld_car("help").text == ipld_car("h").text == ipld_car("--help").text
    assert ipld_car("help", "ls").lines[1:] == ipld_car("ls", "--help").lines[1:]
    assert "No such command" in ipld_car("help", "frobnicate", code=2).err


# -- stopped -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_by_a_signal_nothing_half_written_is_left(number: signal.Signals, tmp_path: Path) -> None:
    """The output keeps its contents; no unfinished file is beside it or among temporary files."""
    (tmp_path / "out.car").write_bytes(b"what was there")
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    for arguments in (["concat", "-", "-o", "out.car"], ["wrap", "-", "out.car"]):
        before = signal.signal(number, signal.SIG_DFL)  # tests under nohup would start a command that goes on
        try:
            started = subprocess.Popen([*COMMAND, *arguments], stdin=subprocess.PIPE, cwd=tmp_path, env=environment)
        finally:
            signal.signal(number, before)
        with started as process:
            assert process.stdin
            process.stdin.write(SMALL_V1)
            process.stdin.flush()  # and more may come
            until = time.monotonic() + 60
            while not (list(tmp_path.glob(".*.unfinished")) or list(tmp_path.glob("tmp/*/input"))):
                assert time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(number)
            assert process.wait(60) == 128 + number
        assert names_in(tmp_path) == ["out.car", "tmp"]
        assert names_in(tmp_path / "tmp") == []
        assert (tmp_path / "out.car").read_bytes() == b"what was there"


def test_who_is_told_to_go_on_without_a_terminal_goes_on(tmp_path: Path) -> None:
    """A signal that was ignored when the command started stays ignored, as nohup wants it."""
    ignoring = ["/bin/sh", "-c", f"trap '' HUP; exec {shlex.join(COMMAND)} concat - -o out.car"]
    with subprocess.Popen(ignoring, stdin=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdin
        process.stdin.write(SMALL_V1)
        process.stdin.flush()
        until = time.monotonic() + 60
        while not list(tmp_path.glob(".*.unfinished")):
            assert time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        process.stdin.close()
        assert process.wait(60) == 0
    assert (tmp_path / "out.car").read_bytes() == SMALL_V1


# -- outputs and inputs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        *("list a.car a.car", "list a.car ./link", "cat a.car -o a.car", "index create a.car a.car"),
        *(f"get-block a.car {text(cid(b'hello'))} a.car", "detach-index a.car a.car"),
        *("filter --cid-file cids a.car cids", "create a.car -o a.car", "create -o a.car cids a.car"),
    ],
)
def test_what_is_no_archive_of_the_same_is_not_written_over_an_input(line: str, ipld_car: Run, tmp_path: Path) -> None:
    (tmp_path / "a.car").write_bytes(SMALL_V2)
    (tmp_path / "cids").write_text(text(cid(b"hello")))
    (tmp_path / "link").symlink_to("a.car")
    assert "is read, so nothing is written over it" in ipld_car(*line.split(), code=2, cwd=tmp_path).err
    assert (tmp_path / "a.car").read_bytes() == SMALL_V2
    assert (tmp_path / "cids").read_text() == text(cid(b"hello"))


def test_an_archive_is_not_in_itself(ipld_car: Run, tmp_path: Path) -> None:
    """However its path, or that of its folder, is spelled; nor if it comes by standard output."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "f").write_text("one")
    (tmp_path / "link").symlink_to("folder")
    roots = set()
    for line in (
        *(". -o a.car", ". -o a.car", f"{folder} -o a.car", f". -o {folder}/a.car", "../folder -o a.car"),
        ". -o ../link/a.car",
    ):
        ipld_car("create", "--no-wrap", *line.split(), cwd=folder)
        roots.update(ipld_car("root", "a.car", cwd=folder).lines)
    done = in_shell("IPLD_CAR create --no-wrap . -o - > a.car && IPLD_CAR root a.car", folder)
    assert done.returncode == 0, done.stderr
    roots.add(done.stdout.split()[-1])
    assert len(roots) == 1
