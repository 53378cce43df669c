"""Run hatch on this workspace: ``python3 dev.py run test``, ``python3 dev.py run demo``.

Python >= 3.11 and pip are all it takes: hatch goes into ``.hatch`` here, once, and makes the
environments that it runs things in. Nothing is installed anywhere else.
"""
# Only the standard library, and nothing that Python 3.6 could not parse: it must get as far as saying
# that it is too old.

import ast
import os
import subprocess
import sys

HATCH = "hatch>=1.18,<2"
OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".hatch")
PYTHON = os.path.join(VENV, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
READY = os.path.join(VENV, "hatch-is-ready")  # written last, holds what was asked for

# hatch installs with uv, which does not read pip's settings: a mirror or a proxy's certificate that
# pip knows of is handed on, unless uv has been told something itself.
UV_NAMES = {
    "cert": "SSL_CERT_FILE",
    "extra-index-url": "UV_INDEX",
    "index-url": "UV_DEFAULT_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
}
SECTIONS = ["global", "install", ":env:"]  # the later ones hold


def main() -> "int | str":
    if sys.version_info < OLDEST:
        version, oldest = (".".join(map(str, v)) for v in (sys.version_info[:3], OLDEST))
        return f"dev.py: this is Python {version} at {sys.executable}, and Python {oldest} or newer is needed"
    try:
        if not is_ready():
            install_hatch()
        environ = keep_bytecode({**pip_settings(), **os.environ})
        return subprocess.call([PYTHON, "-m", "hatch", *sys.argv[1:]], cwd=ROOT, env=environ)
    except KeyboardInterrupt:
        return 130


def keep_bytecode(environ: "dict[str, str]") -> "dict[str, str]":
    """Where bytecode is not written, as in many containers, it is written to ``.hatch`` instead.

    Tests start hundreds of processes. Each would compile all that it imports, which takes longer than what it does.
    """
    if environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        environ.setdefault("PYTHONPYCACHEPREFIX", os.path.join(VENV, "bytecode"))
    return environ


def is_ready() -> bool:
    """Whether ``.hatch`` is whole: not half made, nor made by a Python that has gone since."""
    try:
        with open(READY) as file:
            return file.read() == HATCH and os.path.exists(PYTHON)
    except FileNotFoundError:
        return False


def install_hatch() -> None:
    print(f"dev.py: installing {HATCH} into {VENV}, once", flush=True)
    failures = []
    for venv, pip in (
        ([], [PYTHON, "-m", "pip"]),
        # Debian's python3 comes without ensurepip; a pip of its own will do as well.
        (["--without-pip"], [sys.executable, "-m", "pip", "--python", PYTHON]),
    ):
        made = run(sys.executable, "-m", "venv", "--clear", *venv, VENV)
        done = made if made.returncode else run(*pip, "install", "--quiet", "--disable-pip-version-check", HATCH)
        if not done.returncode:
            with open(READY, "w") as file:
                file.write(HATCH)
            return
        failures.append(f"$ {' '.join(done.args)}\n{done.stdout.strip()}")
    sys.exit("\n\n".join(["dev.py: could not install hatch, in either of two ways:", *failures]))


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    # Defaults like pip's --user make no sense in a venv.
    environ = {k: v for k, v in os.environ.items() if k not in ("PIP_USER", "PIP_TARGET")}
    return subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env=environ,
        encoding="utf-8",
        errors="replace",
    )


def pip_settings() -> "dict[str, str]":
    """What pip's files and environment say of the index, as variables for uv."""
    listed = run(PYTHON, "-m", "pip", "config", "list")
    if listed.returncode:  # a venv made without pip
        listed = run(sys.executable, "-m", "pip", "config", "list")
    found = {}
    for line in listed.stdout.splitlines():  # such as global.cert='/etc/ssl/ca.crt'
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if name in UV_NAMES and section in SECTIONS:
            text = ast.literal_eval(value)
            found[section, UV_NAMES[name]] = text if name == "cert" else " ".join(text.split())
    return {name: found[section, name] for section, name in sorted(found, key=lambda f: SECTIONS.index(f[0]))}


if __name__ == "__main__":
    sys.exit(main())
