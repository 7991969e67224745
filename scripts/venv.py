#!/usr/bin/env python3
"""The project's own virtual environments: .dev/venv, what the demo's worker and the tests import, and .dev/package/venv, with the tools of
`make package`, which want other versions of some packages.

    venv.py REQUIREMENTS...     installs these files' packages, each once, and prints the environment's python
"""
import hashlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

from system import DEV, ROOT, Failure, apt_install, has_apt, lock, main, say

VENV = DEV / "venv"
TOOLS = DEV / "package/venv"
WORKER = ROOT / "examples/python/requirements.txt"
TESTS = ROOT / "tests/requirements.txt"


def ensure(*requirements, with_apt=True, folder=VENV):
    """The environment's python, with the packages of these files installed. `with_apt`: a missing venv module too."""
    python = folder / "bin/python"
    with lock("venv"):
        make(folder, python, with_apt)
        for file in requirements:
            install(folder, python, Path(file).resolve())
    return python


def make(folder, python, with_apt):
    """A new environment where there is none, or another Python made it."""
    maker = folder / "made-by"
    # Resolved, so that the environment's own python, when a test asks from inside, is not another one.
    this = f"{Path(sys.executable).resolve()} {sys.version}"
    if python.exists() and maker.exists() and maker.read_text() == this:
        return
    if importlib.util.find_spec("ensurepip") is None:
        if not (with_apt and has_apt() and sys.executable.startswith("/usr/bin/")):
            raise Failure(f"{sys.executable} has no `ensurepip`; install your system's package of Python's venv module "
                          "(on Debian and Ubuntu: python3-venv)")
        apt_install("python3-venv")
    run(f"making {name_of(folder)}", [sys.executable, "-I", "-m", "venv", "--clear", str(folder)])
    maker.write_text(this)


def install(folder, python, file):
    stamp = folder / f"installed-{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    if stamp.exists():
        return
    lines = file.read_text().splitlines()
    packages = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    some = ", ".join(packages[:4]) + (f" and {len(packages) - 4} more" if len(packages) > 4 else "")
    run(f"installing {some} into {name_of(folder)}",
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(file)])
    stamp.touch()


def name_of(folder):
    return folder.relative_to(ROOT)


def run(what, command, env=None):
    began = time.monotonic()
    say(f"{what} ...")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if done.returncode != 0:
        raise Failure(f"{what} failed:\n{done.stdout.strip()}")
    say(f"{what}: done in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(lambda: print(ensure(*sys.argv[1:])))
