#!/usr/bin/env python3
"""A private Redis on loopback ports, in a folder of its own: for the demo, tests and benchmarks.

    redis.py run -- CMD...     a server for as long as CMD runs; exports REDIS_URL and REDIS_DIR; ends with CMD's exit code
    redis.py start --dir DIR   leaves a server running (with --cluster, three that are a Redis Cluster) and prints one line
                               of JSON about it
    redis.py stop|kill9|restart|pause|resume --dir DIR
    redis.py install           only makes sure that Redis is there
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from system import (Failure, Server, apt_install, free_ports, has_apt, identity, lock, main, run_to_end, say,
                    uninterrupted, wait_for, watch)

BOOT_SECONDS = 30
TEMPORARY = "activity-bridge-redis-"
SLOTS = 16384


# --- Installing ---------------------------------------------------------------------------------

def ensure_installed():
    """Installs Redis where we know how, otherwise says what to install."""
    if shutil.which("redis-server"):
        return
    if not has_apt():
        raise Failure("Redis is needed: install the package `redis-server` (with macOS's Homebrew: `redis`), version 7 "
                      "or newer, so that `redis-server` is in the PATH, or set REDIS_URL to a server that may be used")
    with lock("redis-install"):
        if shutil.which("redis-server"):
            return
        before = answers(6379)
        apt_install("redis-server")
        if answers(6379) and not before:
            stop_system_server()


def stop_system_server():
    """Installing must not leave a server of the system's behind."""
    say("the installation started a Redis of the system's; stopping it")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    with contextlib.suppress(OSError):
        subprocess.run([*sudo, "service", "redis-server", "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not wait_for(lambda: not answers(6379), 10):
        raise Failure("installing Redis left a server on port 6379; stop the service redis-server, then try again")


# --- One server ---------------------------------------------------------------------------------

def answers(port):
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Redis(Server):
    """One server. Its port and data stay the same from one start to the next."""

    NAME = "Redis"
    KEPT = (*Server.KEPT, "port", "bus_port", "settings")

    def __init__(self, folder, settings=()):
        super().__init__(folder)
        self.port, self.bus_port = free_ports(2)
        self.settings = list(settings)

    @property
    def tls(self):
        return any(line.startswith("tls-cert-file ") for line in self.settings)

    @property
    def url(self):
        return f"redis{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def start(self):
        """Starts the server and waits until it answers."""
        self.dir.mkdir(parents=True, exist_ok=True)
        log = self.dir / "console.log"
        ports = [f"port {0 if self.tls else self.port}", f"tls-port {self.port if self.tls else 0}"]
        lines = ["bind 127.0.0.1", *ports, f"dir {self.dir}", "daemonize no", 'save ""', "tls-auth-clients no",
                 "enable-debug-command local", *self.settings]
        if "cluster-enabled yes" in self.settings:
            lines.append(f"cluster-port {self.bus_port}")
        (self.dir / "redis.conf").write_text("\n".join(lines) + "\n")
        self.launch(["redis-server", self.dir / "redis.conf"], log)
        try:
            self.await_ready(self._ready, BOOT_SECONDS, log, 0.02)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        with uninterrupted():
            # Its process may look ended a moment before the last of its threads lets go of the port.
            self.kill9(lambda: not answers(self.port))

    def ask(self, *words):
        """Sends one command and returns the whole answer, which must be a short one."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall((" ".join(map(str, words)) + "\r\nQUIT\r\n").encode())
            answer = b""
            while more := connection.recv(65536):
                answer += more
        return answer.decode(errors="replace")

    def _ready(self):
        try:
            # Where TLS is spoken or a password wanted, it is ready when its port is open: there is nothing to load.
            return answers(self.port) if self.tls else self.ask("PING").startswith(("+PONG", "-NOAUTH"))
        except OSError:
            return False


# --- What a folder holds: one server, or the three of a Cluster -----------------------------------

def servers(folder):
    """The servers that were started in this folder; none where none was, or where they were stopped for good."""
    found = [path.parent for path in [folder / Redis.FILE, *sorted(folder.glob(f"*/{Redis.FILE}"))] if path.exists()]
    return [Redis.load(path) for path in found]


def start_cluster(folder, settings):
    settings = ["cluster-enabled yes", "cluster-node-timeout 2000", *settings]
    nodes = [Redis(folder / str(number), settings) for number in (1, 2, 3)]
    for node in nodes:
        node.start()
    for number, node in enumerate(nodes):
        first, last = (SLOTS * part // len(nodes) for part in (number, number + 1))
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
    # On a busy machine a handshake may come to nothing; nodes that know each other already take no notice of another.
    for _ in range(3):
        for node in nodes[1:]:
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        if wait_for(lambda: is_whole(nodes), BOOT_SECONDS / 3):
            break
    await_cluster(nodes)
    return nodes


def is_whole(nodes):
    def knows_all(node):
        try:
            info = node.ask("CLUSTER", "INFO")
        except OSError:
            return False
        # The state alone may be told from slots that are known before all nodes are.
        return "cluster_state:ok" in info and f"cluster_known_nodes:{len(nodes)}" in info

    return all(map(knows_all, nodes))


def await_cluster(nodes):
    if not wait_for(lambda: is_whole(nodes), BOOT_SECONDS):
        raise Failure(f"the Redis Cluster did not come together:\n{nodes[0].ask('CLUSTER', 'INFO')}")


def stop_all(folder):
    for server in servers(folder):
        server.stop()
        (server.dir / Redis.FILE).unlink()


@contextlib.contextmanager
def private_server(*settings):
    """A server in a temporary folder, gone when the block ends, whatever ends it."""
    ensure_installed()
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    try:
        server = Redis(folder, settings)
        server.start()
        watch(__file__, folder, os.getpid())
        yield server
    finally:
        stop_all(folder)
        shutil.rmtree(folder, ignore_errors=True)


# --- The command line ---------------------------------------------------------------------------

def run(options):
    with private_server() as server:
        return run_to_end(options.command, {"REDIS_URL": server.url, "REDIS_DIR": str(server.dir)})


def start(options):
    ensure_installed()
    if servers(options.dir):
        raise Failure(f"a server was already started in {options.dir}; `restart` or `stop` it")
    options.dir.mkdir(parents=True, exist_ok=True)
    # From here on: a start that is interrupted leaves nothing behind either.
    if options.owner:
        watch(__file__, options.dir.resolve(), options.owner)
    if options.cluster:
        started = start_cluster(options.dir, options.set)
    else:
        started = [Redis(options.dir, options.set)]
        started[0].start()
    print(json.dumps({"urls": [server.url for server in started], "dir": str(options.dir.resolve()),
                      "pids": [server.pid for server in started]}), flush=True)
    return 0


def restart(options):
    started = servers(options.dir)
    for server in started:
        server.stop()
        server.start()
    if len(started) > 1:
        await_cluster(started)
    return 0


def to_each(action):
    def command(options):
        found = servers(options.dir)
        if not found:
            raise Failure(f"no server was started in {options.dir}")
        for server in found:
            action(server)
        return 0

    return command


def watch_command(options):
    """Ends by itself when the servers are stopped for good."""
    owner, seen = identity(options.owner), []
    while True:
        found = []
        with contextlib.suppress(Failure):  # the folder is being removed
            found = servers(options.dir)  # again each time: a restart changes their processes
        if seen and not found:
            break
        seen = found
        if owner is None or identity(options.owner) != owner:
            break
        time.sleep(1)
    for server in seen:
        server.stop()
    if options.dir.name.startswith(TEMPORARY):
        shutil.rmtree(options.dir, ignore_errors=True)
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(name, action, folder=True):
        sub = commands.add_parser(name)
        sub.set_defaults(action=action)
        if folder:
            sub.add_argument("--dir", type=Path, required=True)
        return sub

    command("install", lambda _: ensure_installed() or 0, folder=False)
    command("run", run, folder=False).add_argument("command", nargs="+")
    sub = command("start", start)
    sub.add_argument("--cluster", action="store_true", help="three servers that are a Redis Cluster")
    sub.add_argument("--set", action="append", default=[], metavar="LINE", help="a line of redis.conf; may be repeated")
    sub.add_argument("--owner", type=int, metavar="PID", help="stop them when this process has ended")
    command("stop", lambda options: stop_all(options.dir) or 0)
    command("kill9", to_each(Redis.stop))
    command("restart", restart)
    command("pause", to_each(lambda server: server.signal(signal.SIGSTOP)))
    command("resume", to_each(lambda server: server.signal(signal.SIGCONT)))
    command("watch", watch_command).add_argument("--owner", type=int, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(lambda: (lambda options: options.action(options))(parse(sys.argv[1:])))
