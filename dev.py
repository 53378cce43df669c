"""Run hatch on this workspace: ``python3 dev.py run test``, ``python3 dev.py run demo``.

Python >= 3.11 and pip are all it takes: hatch goes into ``.hatch`` here, once, and makes the
environments that it runs things in. Nothing is installed anywhere else.
"""
# Only the standard library, and nothing that an old Python could not parse: it must get as far as
# saying that it is too old.

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


def main():
    if sys.version_info < OLDEST:
        return "dev.py: this is Python %s at %s, and Python %d.%d or newer is needed" % (
            (sys.version.split()[0], sys.executable) + OLDEST
        )
    try:
        if not is_ready():
            install_hatch()
        environ = dict(pip_settings(), **os.environ)
        return subprocess.call([PYTHON, "-m", "hatch"] + sys.argv[1:], cwd=ROOT, env=environ)
    except KeyboardInterrupt:
        return 130


def is_ready():
    """Whether ``.hatch`` is whole: not half made, nor made by a Python that has gone since."""
    try:
        with open(READY) as file:
            return file.read() == HATCH and os.path.exists(PYTHON)
    except FileNotFoundError:
        return False


def install_hatch():
    sys.stderr.write("dev.py: installing %s into %s, once\n" % (HATCH, VENV))
    install = ["install", "--quiet", "--disable-pip-version-check", HATCH]
    failures = []
    for venv, pip in (
        ([], [PYTHON, "-m", "pip"]),
        # Debian's python3 comes without ensurepip; a pip of its own will do as well.
        (["--without-pip"], [sys.executable, "-m", "pip", "--python", PYTHON]),
    ):
        made = run([sys.executable, "-m", "venv", "--clear"] + venv + [VENV])
        done = made if made.returncode else run(pip + install)
        if not done.returncode:
            with open(READY, "w") as file:
                file.write(HATCH)
            return
        failures.append("$ %s\n%s" % (" ".join(done.args), done.stdout.strip()))
    sys.exit("dev.py: could not install hatch, in either of two ways:\n\n" + "\n\n".join(failures))


def run(command):
    # Defaults like pip's --user make no sense in a venv.
    environ = {k: v for k, v in os.environ.items() if k not in ("PIP_USER", "PIP_TARGET")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, check=False, env=environ, encoding="utf-8", errors="replace", **pipes)


def pip_settings():
    for python in (PYTHON, sys.executable):
        listed = run([python, "-m", "pip", "config", "list"])
        if not listed.returncode:
            break
    settings = {}
    for line in listed.stdout.splitlines():  # such as global.cert='/etc/ssl/ca.crt'
        key, equals, value = line.partition("=")
        section, dot, name = key.rpartition(".")
        if equals and dot and name in UV_NAMES:
            settings[section, UV_NAMES[name]] = ast.literal_eval(value)
    # What a more special section says goes last and holds.
    ranks = {"global": 0, "install": 1, ":env:": 2}
    order = sorted((s for s in settings if s[0] in ranks), key=lambda s: ranks[s[0]])
    return {uv_name: settings[section, uv_name] for section, uv_name in order}


if __name__ == "__main__":
    sys.exit(main())
