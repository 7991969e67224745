"""The image, without a container engine: the commands of the Dockerfile run in a root of Debian, its COPY and USER and the rest are done
by hand, and the binary runs in what comes out, with the root read-only and as the image's user."""
import fnmatch
import json
import re
import shlex
import shutil
from pathlib import Path

import roots
from roots import CACHE, ROOT, Failure, inside, run
from system import say

MAX_SIZE = 25_000_000
# What rust:…-slim-bookworm has, but for Rust itself.
BUILD_PACKAGES = ["bash", "ca-certificates", "gcc", "libc6-dev"]


def instructions(text):
    """The instructions of a Dockerfile: (word, rest)."""
    text = re.sub(r"(?m)^\s*#.*\n", "", text)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [tuple(line.strip().split(None, 1)) for line in lines if line.strip()]


def ignored(path, patterns):
    names = ["/".join(path.parts[:count]) for count in range(1, len(path.parts) + 1)]
    return any(fnmatch.fnmatchcase(name, pattern.removeprefix("**/")) or (pattern.startswith("**/") and
               fnmatch.fnmatchcase(name.rpartition("/")[2], pattern[3:])) for name in names for pattern in patterns)


def copy_context(to):
    """What `COPY . .` would copy: the files that git knows, but for those in .dockerignore."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for name in run(["git", "ls-files", "-z"], cwd=ROOT).split("\0"):
        path = Path(name)
        if name and (ROOT / path).is_file() and not ignored(path, patterns):
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, to / path)


class Image:
    """What the Dockerfile describes, being made."""

    def __init__(self):
        self.stages, self.root = {}, None
        self.workdir, self.shell, self.args = "/", ["/bin/sh", "-c"], {}
        self.user = self.entrypoint = self.command = self.health = None

    def from_(self, rest):
        words = rest.split()
        self.workdir, self.shell, self.args = "/", ["/bin/sh", "-c"], {}
        if words[0] == "scratch":
            self.root = CACHE / "image"
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir(parents=True)
        elif re.fullmatch(r"rust:[0-9.]+-slim-bookworm", words[0]):
            self.root = roots.debian("image-build", BUILD_PACKAGES)
        else:
            raise Failure(f"no root stands in for {words[0]}")
        if len(words) == 3:
            self.stages[words[2]] = self.root

    def copy(self, rest):
        words = rest.split()
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        source, target = [word for word in words if not word.startswith("--")]
        target = self.root / (self.workdir + "/" + target if not target.startswith("/") else target).lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        if "from" not in options:
            copy_context(target)
            return
        source = self.stages[options["from"]] / source.lstrip("/")
        if source.is_dir():
            run(["cp", "-a", f"{source}/.", target])
            target.chmod(0o755)
        else:
            raise Failure(f"only folders are copied here: {source}")
        if owner := options.get("chown"):
            run(["chown", "-R", owner, target])

    def run_(self, rest):
        binds = toolchain()
        while rest.startswith("--mount="):
            option, rest = rest.split(None, 1)
            mount = dict(pair.split("=", 1) for pair in option.removeprefix("--mount=").split(","))
            # The packages of the registry are this machine's, with the rest of CARGO_HOME.
            if mount["target"] != "/usr/local/cargo/registry":
                cache = CACHE / "cache" / mount["target"].strip("/").replace("/", "-")
                cache.mkdir(parents=True, exist_ok=True)
                binds.append((cache, mount["target"], "rw"))
        env = {"PATH": "/usr/local/toolchain/bin:/usr/sbin:/usr/bin:/sbin:/bin", "CARGO_HOME": "/usr/local/cargo",
               "CARGO_NET_OFFLINE": "true", "HOME": "/root", **self.args}
        say(f"RUN {rest[:100]} ...")
        run(inside(self.root, [*self.shell, rest], binds, cwd=self.workdir), env=env)

    def make(self, text):
        for word, rest in instructions(text):
            match word:
                case "FROM":
                    self.from_(rest)
                case "COPY":
                    self.copy(rest)
                case "RUN":
                    self.run_(rest)
                case "WORKDIR":
                    self.workdir = rest
                case "SHELL":
                    self.shell = json.loads(rest)
                case "ARG":
                    name, value = rest.split("=", 1)
                    self.args[name] = shlex.split(value)[0] if value else ""
                case "USER":
                    self.user = rest
                case "ENTRYPOINT":
                    self.entrypoint = json.loads(rest)
                case "CMD":
                    self.command = json.loads(rest)
                case "HEALTHCHECK":
                    self.health = json.loads(rest.partition(" CMD ")[2])
                case "VOLUME" | "EXPOSE" | "STOPSIGNAL":
                    pass
                case _:
                    raise Failure(f"{word} of the Dockerfile is not known here")
        return self


def toolchain():
    """Rust and its packages, which are this machine's."""
    sysroot = run(["rustc", "--print", "sysroot"], cwd=ROOT).strip()
    home = Path(run(["sh", "-c", 'echo "${CARGO_HOME:-$HOME/.cargo}"']).strip())
    return [(sysroot, "/usr/local/toolchain", "ro"), (home, "/usr/local/cargo", "rw")]


def size(root):
    """The bytes of each file, the largest first."""
    files = [(path.stat().st_size, str(path.relative_to(root))) for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(files, reverse=True)


def built():
    """The image's root and settings."""
    run(["cargo", "fetch", "--locked"], cwd=ROOT)
    shutil.rmtree(CACHE / "container", ignore_errors=True)
    return Image().make((ROOT / "Dockerfile").read_text())


def words_in(image, words, binds=()):
    """The words that run something in a container of the image: as its user, and with its root read-only."""
    container = CACHE / "container"
    if not container.exists():
        # A container's mount points are made in a layer of its own, not in the image.
        run(["cp", "-a", image.root, container])
    return inside(container, words, binds, user=image.user, mode="ro")
