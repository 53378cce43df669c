"""The command as a process: exit codes, pipes, terminals, and what it prints for help."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner
from ipld_car._cli.main import ALIASES, cli
from ipld_car.terminal.testing import Run

from ..support.car_samples import SMALL_V1, SMALL_V2, car_v1, cid, section
from ..support.cli_samples import Tree, text

VERBS = [
    *("create", "extract", "list", "inspect", "verify", "root", "get-block", "get-dag", "index", "detach-index"),
    *("put-block", "filter", "concat", "cat", "wrap", "unwrap", "merge", "split", "repair", "diff"),
]


def test_every_verb_tells_how_it_is_used() -> None:
    top = CliRunner().invoke(cli, ["--help"])
    assert sorted(cli.commands) == sorted(VERBS)
    for verb in VERBS:
        assert f"\n  {verb} " in top.output
        told = CliRunner().invoke(cli, [verb, "--help"])
        assert "\\b" not in told.output, "a mark of click's, not an escape, was written into the text"
        assert told.exit_code == 0
        assert len(told.output) > 200, verb
    short = [line for line in top.output.splitlines() if line.startswith("  ") and line.endswith("...")]
    assert short == [], "a short help is cut off"
    assert set(ALIASES.values()) <= set(VERBS)


def test_it_is_installed() -> None:
    (script,) = entry_points(group="console_scripts", name="ipld-car")
    assert script.value == "ipld_car._cli.main:main"


def test_exit_codes(ipld_car: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.car", tmp_path / "bad.car"
    good.write_bytes(SMALL_V1)
    bad.write_bytes(SMALL_V1.replace(b"hello", b"jello", 1).replace(b"hello", b"jello"))
    assert "good" in ipld_car("verify", good).text
    assert "mismatch" in ipld_car("verify", bad, code=1).text
    assert "No such file" in ipld_car("list", tmp_path / "none.car", code=2).err
    assert "No such command" in ipld_car("frobnicate", code=2).err
    assert "No such option" in ipld_car("list", "--frobnicate", code=2).err
    assert "expected the text of a CID" in ipld_car("get-block", good, "nonsense", code=2).err
    assert "does not have it" in ipld_car("get-block", good, CID_TEXT, code=1).err
    assert "no bytes at all" in ipld_car("list", code=1).err
    assert not ipld_car("get-block", good, CID_TEXT, tmp_path / "out", code=1).out
    assert not (tmp_path / "out").exists()


CID_TEXT = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"  # "hello world"


def test_standard_input_and_output(ipld_car: Run, tmp_path: Path) -> None:
    plain = ipld_car("list", "-", stdin=SMALL_V1).lines
    assert len(plain) == 6
    assert ipld_car("list", stdin=SMALL_V2).lines == plain
    assert ipld_car("unwrap", "-", "-", stdin=ipld_car("wrap", "-", stdin=SMALL_V1).out).out == SMALL_V1
    (tmp_path / "a.car").write_bytes(SMALL_V1)
    with (tmp_path / "a.car").open("rb") as file:  # standard input that is a file
        done = subprocess.run([sys.executable, "-m", "ipld_car", "list"], stdin=file, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == plain


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    many = car_v1(*(section(number.to_bytes(8)) for number in range(5_000)))  # more than a pipe holds
    command = [sys.executable, "-m", "ipld_car", "list", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(many)
        process.stdin.close()
        assert process.stdout.readline().startswith(b"bafk")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def on_terminal(*arguments: str, both: bool = False) -> tuple[int, str, str]:
    """Run the command with standard error on a terminal; exit code, what is on it, and standard output.

    :param both: have standard output on the terminal too
    """
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # else it has no columns to draw in
    # The work here is done in no time; a patience of none shows the bar at once.
    patient = (
        "from ipld_car._cli import main; from ipld_car.terminal import progress; progress._PATIENCE = -1; "
        "raise SystemExit(main.main())"
    )
    command = [sys.executable, "-c", patient, *arguments]
    with subprocess.Popen(command, stdout=end if both else subprocess.PIPE, stderr=end) as process:
        os.close(end)
        came = dict.fromkeys([terminal, *([process.stdout.fileno()] if process.stdout else [])], b"")
        waiting = set(came)
        while waiting:  # for both, as a pipe that is not read would stop the command
            ready = select.select(waiting, [], [], 300)[0]
            assert ready, "nothing came for 300 s"
            for stream in ready:
                try:
                    data = os.read(stream, 1 << 16)
                except OSError:  # the other end of the terminal is closed
                    data = b""
                came[stream] += data
                if not data:
                    waiting.remove(stream)
    os.close(terminal)
    seen, *out = [data.decode() for data in came.values()]
    return process.returncode, seen, "".join(out)


def test_a_bar_shows_on_a_terminal_and_nowhere_else(ipld_car: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(car_v1(*(section(bytes([number]) * 100_000) for number in range(100))))
    code, seen, out = on_terminal("verify", str(path))
    assert code == 0
    assert "verifying" in seen
    assert "B/s" in seen
    assert out.startswith("good: ")
    assert ipld_car("verify", path).err == ""


def on_screen(written: str) -> list[str]:
    """The lines that a terminal shows, where a carriage return goes back to the start of the line."""
    lines = []
    for line in written.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


@pytest.mark.parametrize("verb", ["verify", "create", "list"])
def test_lines_have_the_terminal_for_themselves(ipld_car: Run, tmp_path: Path, verb: str) -> None:
    """Lines printed beside a progress bar are the lines printed into a pipe."""
    path, source = tmp_path / "a.car", tmp_path / "source"
    wrong = [section(bytes([number]) * 50_000, cid(b"%d" % number)) for number in range(100)]
    path.write_bytes(car_v1(*wrong))
    source.mkdir()
    for number in range(100):
        (source / f"{number}").write_bytes(bytes([number]) * 50_000)
    arguments = ["-v", "-f", str(tmp_path / "new.car"), str(source)] if verb == "create" else [str(path)]
    plain = ipld_car(verb, *arguments, code=1 if verb == "verify" else 0)
    _, written, _ = on_terminal(verb, *arguments, both=True)
    assert "B/s" in written
    assert [line for line in on_screen(written) if line] == [line.rstrip() for line in plain.text.splitlines()]


@pytest.mark.parametrize("verb", ["diff", "inspect", "root --implicit", "get-block"])
def test_all_that_may_take_long_shows_how_far_it_is(tmp_path: Path, verb: str) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(car_v1(*(section(b"%d" % number) for number in range(3000))))
    more = [str(path)] if verb == "diff" else [text(cid(b"7"))] if verb == "get-block" else []
    name, *options = verb.split()
    code, seen, _ = on_terminal(name, *options, str(path), *more)
    assert code == 0
    assert "reading" in seen


def test_what_comes_through_a_pipe_is_counted(tmp_path: Path) -> None:
    """The command first copies the pipe into a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    archive = car_v1(*(section(bytes([number]) * 100_000) for number in range(100)))
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(pipe.write_bytes, archive)
        code, seen, _ = on_terminal("inspect", str(pipe))
        writing.result()
    assert code == 0
    assert "reading: 1.00MB" in seen


def test_errors_name_what_people_know(ipld_car: Run, tmp_path: Path) -> None:
    """Not the file that an archive is written to before it gets its name, which may be as long as names are."""
    path, long = tmp_path / "a.car", tmp_path / ("n" * 251 + ".car")
    path.write_bytes(SMALL_V1)
    ipld_car("wrap", path, long)
    assert long.read_bytes()[:11] == SMALL_V2[:11]
    assert ipld_car("wrap", path, tmp_path, code=2).err == f"ipld-car: {tmp_path}: Is a directory\n"
    nowhere = tmp_path / "no" / "a.car"
    assert ipld_car("wrap", path, nowhere, code=2).err == f"ipld-car: {nowhere}: No such file or directory\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["a.car", long.name])


@pytest.mark.parametrize("arguments", [["list"], ["verify"], ["inspect", "--full"]])
def test_what_is_not_needed_is_not_loaded(arguments: list[str]) -> None:
    """Each import costs every run: the bar without a terminal, processes for one job."""
    code = (
        "import sys; from ipld_car._cli.main import main; code = main(); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr); raise SystemExit(code)"
    )
    # Measuring coverage loads much too.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, input=SMALL_V1, capture_output=True, check=True, env=environ)
    loaded = done.stderr.decode().split()
    assert "click" in loaded
    assert not {"tqdm", "rich", "multiprocessing", "concurrent", "mmh3", "numpy", "requests"}.intersection(loaded)


def test_what_an_archive_says_cannot_command_the_terminal(ipld_car: Run) -> None:
    """Names and links are printed with controls escaped."""
    tree = Tree()
    root = tree.folder(tree.file(b"x", "\x1b]0;owned\x07\x1b[2J"))
    shown = ipld_car("list", "--unixfs", stdin=tree.car(root)).out
    assert b"\x1b" not in shown
    assert b"owned" in shown
    assert b"\x1b" not in ipld_car("list", "-v", stdin=tree.car(root)).out
    (line,) = ipld_car("list", "--unixfs", "--json", stdin=tree.car(root)).json
    assert line["path"] == "\x1b]0;owned\x07\x1b[2J"


def test_machine_readable_lines_are_json(ipld_car: Run) -> None:
    for verb in ("list", "inspect", "verify", "root"):
        lines = ipld_car(verb, "--json", stdin=SMALL_V1).json
        assert lines
        assert all(isinstance(line, dict) for line in lines)
    assert ipld_car("list", "--json", stdin=SMALL_V1).json[0]["size"] == 5
    assert ipld_car("root", "--json", stdin=SMALL_V1).json[0]["root"].startswith("bafk")
