"""promtool, of Debian's package prometheus. It is taken out of the package, so no service is installed."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from system import DEV, Failure, has_apt, lock, say

PLACE = DEV / "promtool/promtool"
MEMBER = "./usr/bin/promtool"


def ensure():
    """Where promtool is."""
    installed = shutil.which("promtool")
    if installed:
        return installed
    with lock("promtool"):
        if not PLACE.exists():
            fetch()
    return str(PLACE)


def fetch():
    if not has_apt():
        raise Failure("promtool is needed: install Prometheus")
    say("fetching promtool with apt-get ...")
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE.parent) as folder:
        code, said = download(folder)
        if code != 0:
            # The lists of packages are missing or old.
            as_root = [] if os.geteuid() == 0 else ["sudo"]
            subprocess.run([*as_root, "apt-get", "-qq", "update"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            code, said = download(folder)
        if code != 0:
            raise Failure(f"apt-get could not download prometheus:\n{said.strip()}")
        [package] = Path(folder).glob("prometheus_*.deb")
        archive = Path(folder) / "files.tar"
        with open(archive, "wb") as out:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=out, check=True)
        subprocess.run(["tar", "-xf", archive, "-C", folder, MEMBER], check=True)
        (Path(folder) / MEMBER).rename(PLACE)


def download(folder):
    command = ["apt-get", "-qq", "download", "prometheus"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout
