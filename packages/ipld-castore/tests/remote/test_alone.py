"""An archive at a URL in a process that has imported nothing else."""

import subprocess
import sys


def test_a_url_is_no_path_where_nothing_else_was_imported() -> None:
    """The class for URLs is in a room that no import of the other loads: a URL was a local file."""
    code = "from ipld_castore import CarCAStore; CarCAStore('http://127.0.0.1:9/x.car', 'r')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "BackendUnavailableError: cannot read http://127.0.0.1:9/x.car: no server" in done.stderr
