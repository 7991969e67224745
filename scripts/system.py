"""What the scripts share: installing packages, free ports, processes and servers that are always stopped again, HTTP."""
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEV = ROOT / ".dev"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}


class Failure(Exception):
    """Something a person can act upon; shown as it is, without a traceback."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def main(body):
    """Runs a script's body: signals unwind through its `finally`s, a Failure is one readable message."""
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _: sys.exit(128 + number))
    try:
        code = body()
    except Failure as failure:
        say(f"error: {failure}")
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


@contextlib.contextmanager
def uninterrupted():
    """Cleaning up goes on to its end: a second Ctrl-C does not leave processes behind."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(sig, signal.SIG_IGN) for sig in signals]
    try:
        yield
    finally:
        for sig, handler in zip(signals, before):
            signal.signal(sig, handler)


@contextlib.contextmanager
def lock(name):
    """One process at a time, for what is kept in .dev/."""
    DEV.mkdir(exist_ok=True)
    with open(DEV / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- Packages -----------------------------------------------------------------------------------

# Debian starts a service as soon as it is installed, unless policy-rc.d says no (101).
APT_INSTALL = """
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod 755 $policy
fi
apt-get -qq update
apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"
"""


def apt_install(*packages):
    """Installs Debian packages without starting their services. Says so first."""
    command = ["sh", "-c", APT_INSTALL, "apt_install", *packages]
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            raise Failure(f"please install as root: apt-get install {' '.join(packages)}")
        command = ["sudo", *command]
    say(f"installing {' '.join(packages)} with apt-get (its services are not started) ...")
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-15:])
        raise Failure(f"apt-get could not install {' '.join(packages)}:\n{last}")
    say(f"installed {' '.join(packages)} in {time.monotonic() - began:.0f} s")


def has_apt():
    return shutil.which("apt-get") is not None and os.path.exists("/etc/debian_version")


# --- Ports --------------------------------------------------------------------------------------

LOWEST_PORT, HIGHEST_PORT = 12000, 31999


def free_ports(count):
    """Ports of 127.0.0.1 that nothing listens on.

    They lie below the range from which the kernel takes the ports of outgoing connections, so a server
    that is stopped for a while finds its port still free. Each call goes on where the last one ended, so
    servers that start at the same time, and have not bound theirs yet, don't get the same.
    """
    ports = []
    every = range(LOWEST_PORT, HIGHEST_PORT + 1)
    with lock("ports"):
        last = DEV / "ports.last"
        try:
            start = int(last.read_text()) + 1 - LOWEST_PORT
        except (OSError, ValueError):
            start = random.randrange(len(every))
        for step in range(len(every)):
            port = every[(start + step) % len(every)]
            with socket.socket() as listener:
                with contextlib.suppress(OSError):
                    listener.bind(("127.0.0.1", port))
                    ports.append(port)
            if len(ports) == count:
                last.write_text(str(port))
                return ports
    raise Failure(f"no free ports on 127.0.0.1 between {LOWEST_PORT} and {HIGHEST_PORT}")


# --- Processes ----------------------------------------------------------------------------------

def identity(pid):
    """When the process began, so that another that got the same id is not mistaken for it; None once ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if stat[0] in "ZX" else stat[19]
    except OSError:
        pass
    if os.path.exists("/proc/self/stat"):
        return None
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
        return "alive"
    except ProcessLookupError:
        return None


def wait_for(condition, seconds, pause=0.05):
    """True as soon as the condition holds, False when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def last_lines(path, count=20):
    try:
        lines = Path(path).read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in lines)


def end(child, seconds):
    """SIGTERM, then after `seconds` SIGKILL."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def run_to_end(command, env):
    """Runs a command with these variables as well, on this terminal; its exit code."""
    child = subprocess.Popen(command, env={**os.environ, **env})
    try:
        code = child.wait()
        return code if code >= 0 else 128 - code
    except KeyboardInterrupt:
        # The terminal sent it to the command as well, which may need a moment to clean up.
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)
        return 130
    finally:
        with uninterrupted():
            end(child, 10)


def watch(script, folder, owner):
    """Starts `SCRIPT watch`: should the owner be killed without a chance to clean up, all is stopped all the same."""
    subprocess.Popen([sys.executable, script, "watch", "--dir", str(folder), "--owner", str(owner)],
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                     start_new_session=True)


class Server:
    """A server that may outlive the script that started it. What others must know of it is in a file of its folder."""

    FILE = "server.json"
    # What it is called, and the attributes that are kept there.
    NAME = "the server"
    KEPT = ("pid", "began")

    def __init__(self, folder):
        self.dir = Path(folder).resolve()
        self.pid = self.began = None

    @classmethod
    def load(cls, folder):
        """The server that an earlier process started in this folder."""
        server = cls.__new__(cls)
        server.dir = Path(folder).resolve()
        try:
            state = json.loads((server.dir / cls.FILE).read_text())
        except (OSError, ValueError) as error:
            raise Failure(f"no server was started in {server.dir}: {error}") from error
        for name in cls.KEPT:
            setattr(server, name, state[name])
        return server

    def state(self):
        return {name: getattr(self, name) for name in self.KEPT}

    def launch(self, command, log, env=None):
        """Starts the process and writes the file."""
        with open(log, "ab") as out:
            child = subprocess.Popen([str(word) for word in command], env=env, cwd=self.dir, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=out, start_new_session=True)
        self.pid, self.began = child.pid, identity(child.pid)
        # Readers never see half a file.
        unfinished = self.dir / f"{self.FILE}.new"
        unfinished.write_text(json.dumps(self.state()))
        unfinished.replace(self.dir / self.FILE)

    def await_ready(self, ready, seconds, log, pause):
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive() or time.monotonic() > deadline:
                why = "did not become ready" if self.alive() else "ended"
                raise Failure(f"{self.NAME} {why}; the last lines of {log}:\n{last_lines(log)}")
            time.sleep(pause)

    def alive(self):
        return self.pid is not None and identity(self.pid) == self.began

    def signal(self, number):
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill9(self, is_gone=lambda: True):
        """What a crash of the server looks like: no goodbye, data as it was on the disk."""
        self.signal(signal.SIGKILL)
        if not wait_for(lambda: not self.alive() and is_gone(), 10):
            raise Failure(f"{self.NAME} (process {self.pid}) survived SIGKILL")


class Process:
    """A child with a log file, in a session of its own so that Ctrl-C reaches it only through us."""

    def __init__(self, name, command, log, env=None):
        self.name, self.log = name, Path(log)
        with open(self.log, "ab") as out:
            try:
                self.child = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env=env,
                    cwd=ROOT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Failure(f"cannot start {name} ({command[0]}): {error}") from error

    def check(self):
        """Raises when the process has ended though nobody stopped it."""
        code = self.child.poll()
        if code is not None:
            raise self.failure(f"{self.name} ended unexpectedly with code {code}")

    def failure(self, message):
        return Failure(f"{message}; the last lines of its log:\n{last_lines(self.log)}")

    def stop(self, seconds=5):
        """SIGTERM, then after `seconds` SIGKILL. True when it ended by itself with code 0."""
        with uninterrupted():
            end(self.child, seconds)
        return self.child.returncode == 0


def bridge_environment(url):
    """For a bridge that finds SWF and Step Functions at this address. Nothing of the user's own AWS settings gets in, and no proxy."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ACTIVITY_BRIDGE_"))}
    return {**env, **CREDENTIALS, "AWS_ENDPOINT_URL_SWF": url, "AWS_ENDPOINT_URL_SFN": url,
            "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


# --- HTTP ---------------------------------------------------------------------------------------

HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with HTTP.open(request, timeout=60) as answer:
        return answer.read().decode()


def answers(url):
    """What an HTTP server that may not be there yet says to a GET: (status or None, text)."""
    try:
        return 200, http(url)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return None, str(error)


def await_200(process, url):
    said = None

    def ready():
        nonlocal said
        process.check()
        status, said = answers(url)
        return status == 200

    if not wait_for(ready, 30):
        raise process.failure(f"{process.name} did not become ready ({url}: {said})")
