"""The Debian package: built by cargo-deb, and installed into a root of Debian."""
import os
import shutil
import socket

import roots
from roots import CACHE, ROOT, Failure, run, run_inside
from system import say

CARGO_DEB = "3.8.0"
ROOT_PACKAGES = ["adduser", "ca-certificates", "systemd"]
TARGET = CACHE / "cache/src-target"


def tool():
    """cargo-deb, in a folder of ours."""
    binary = CACHE / "tools/bin/cargo-deb"
    if not binary.exists():
        say(f"installing cargo-deb {CARGO_DEB} ...")
        run(["cargo", "install", "--locked", "--quiet", "--root", CACHE / "tools", "--version", CARGO_DEB, "cargo-deb"], cwd=CACHE)
    return binary


def built():
    """The package, with the binary that the image's build has made."""
    if not (TARGET / "release/activity-bridge").exists():
        raise Failure("build the image first: its binary is the package's")
    out = CACHE / "deb"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    run([tool(), "--no-build", "--no-strip", "--package", "activity-bridge", "--output", out], cwd=ROOT,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})
    [package] = out.glob("*.deb")
    return package


def installed(package):
    """A root with the package in it."""
    root = roots.debian("deb", ROOT_PACKAGES)
    shutil.copy(package, root / "root")
    run_inside(root, "dpkg", "--install", f"/root/{package.name}")
    return root


class Manager:
    """The socket of a service manager in a root, and what was said on it."""

    def __init__(self, root):
        self.path = root / "run/notify"
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.path.chmod(0o666)
        self.socket.settimeout(30)

    def said(self):
        try:
            return self.socket.recv(1000).decode().strip()
        except TimeoutError:
            return "nothing in 30 s"
