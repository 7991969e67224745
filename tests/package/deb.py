"""The Debian package: built by cargo-deb, and installed into a root of Debian."""
import os
import re
import shutil
import socket

import roots
from roots import CACHE, ROOT, Failure, run, run_inside
from system import say

CARGO_DEB = "3.8.0"
CONFIG = "etc/activity-bridge/config.toml"
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
    out = CACHE / "packages"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    run([tool(), "--no-build", "--no-strip", "--package", "activity-bridge", "--output", out], cwd=ROOT,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})
    [package] = out.glob("*.deb")
    return package


def newer(package):
    """The package as a newer version of it might be, with another configuration."""
    folder = package.parent / "newer"
    run(["dpkg-deb", "--raw-extract", package, folder])
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", "Version: 99.0.0-1", control.read_text()))
    with open(folder / CONFIG, "a") as config:
        config.write("\n# Of the newer version.\n")
    made = package.with_name("newer.deb")
    run(["dpkg-deb", "--root-owner-group", "--build", folder, made])
    return made


def install(root, package):
    """Installs a package in a root, as an upgrade that asks nobody does."""
    shutil.copy(package, root / "root")
    run_inside(root, "dpkg", "--force-confdef", "--force-confold", "--install", f"/root/{package.name}")


def installed(package):
    """A root with the package in it."""
    root = roots.debian("deb", ROOT_PACKAGES)
    install(root, package)
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
