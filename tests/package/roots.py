"""Root file systems of Debian, in folders, and commands that run in them. There is no container engine here: this is what stands in."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import ROOT  # noqa: E402, F401
from system import DEV, Failure, apt_install, say  # noqa: E402

CACHE = DEV / "package"
SUITE = "bookworm"
# The package's installation in a root starts no service.
POLICY = "#!/bin/sh\nexit 101\n"


def mirror():
    """Where this machine's apt gets this Debian from; nothing where it is another system, for debootstrap knows a mirror."""
    said = run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"])
    return next(([uri] for release, uri in (line.split(None, 1) for line in said.splitlines()) if release == SUITE), [])


def debian(name, packages):
    """A root with these packages. It is made once and copied for each use."""
    if os.geteuid() != 0:
        raise Failure("`make package` makes root file systems, which needs root")
    base = CACHE / f"{name}-base"
    wanted = f"{SUITE} {' '.join(packages)}"
    stamp = CACHE / f"{name}-base.packages"
    if not (stamp.exists() and stamp.read_text() == wanted):
        if not shutil.which("debootstrap"):
            apt_install("debootstrap", "debian-archive-keyring")
        shutil.rmtree(base, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        say(f"making a root of Debian {SUITE} ...")
        run(["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE, base, *mirror()])
        policy = base / "usr/sbin/policy-rc.d"
        policy.write_text(POLICY)
        policy.chmod(0o755)
        stamp.write_text(wanted)
    # It points to the open files of whoever looks, so it is a circle for whoever reads all files below this repository, as
    # `cargo package` does. Commands in a root have this machine's /dev.
    (base / "dev/fd").unlink(missing_ok=True)
    root = CACHE / name
    shutil.rmtree(root, ignore_errors=True)
    run(["cp", "-a", base, root])
    return root


# What commands in a root find, whatever this machine's own environment says.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C",
               "DEBIAN_FRONTEND": "noninteractive"}


def run(command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-20:])
        raise Failure(f"`{' '.join(map(str, command))}` failed with code {done.returncode}:\n{last}")
    return done.stdout


def run_inside(root, *command):
    """Runs a command in a root, as root; what it said."""
    return run(inside(root, command), env=ENVIRONMENT)


# In a mount namespace of its own: what is mounted goes when the command ends.
INSIDE = """
set -e
root=$1; binds=$2; mode_of_root=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mkdir -p "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
echo "$binds" | while IFS='>' read -r from to mode; do
    [ -n "$from" ] || continue
    if [ -d "$from" ]; then mkdir -p "$root$to"; else mkdir -p "$(dirname "$root$to")"; touch "$root$to"; fi
    mount --rbind "$from" "$root$to"
    [ "$mode" != ro ] || mount -o remount,bind,ro "$root$to"
done
[ "$mode_of_root" != ro ] || mount -o remount,bind,ro "$root"
exec "$@"
"""


def inside(root, command, binds=(), user=None, cwd="/", mode="rw"):
    """The words that run a command in a root. `binds`: (file or folder here, its place there, "ro" or "rw"); `mode` is the root's."""
    lines = "\n".join(f"{from_}>{to}>{mode}" for from_, to, mode in binds)
    chroot = ["chroot", *([f"--userspec={user}"] if user else []), str(root)]
    # `env --chdir` is of coreutils, which a root without a shell does not have.
    there = [] if cwd == "/" else ["env", f"--chdir={cwd}"]
    return ["unshare", "--mount", "sh", "-c", INSIDE, "inside", str(root), lines, mode, *chroot, *there, *map(str, command)]
