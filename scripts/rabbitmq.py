#!/usr/bin/env python3
"""A private RabbitMQ node on loopback ports, in a folder of its own: for the demo, tests and benchmarks.

    rabbitmq.py run [--plain] -- CMD...   a node for as long as CMD runs; exports AMQP_URI, RABBITMQ_API,
                                          RABBITMQ_NODE_DIR and RABBITMQ_PID; ends with CMD's exit code
    rabbitmq.py start --dir DIR           leaves a node running and prints one line of JSON about it
    rabbitmq.py stop|kill9|restart|pause|resume --dir DIR
    rabbitmq.py ctl --dir DIR -- ARGS...  rabbitmqctl against that node
    rabbitmq.py install                   only makes sure that RabbitMQ is there
"""
import argparse
import contextlib
import glob
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

BOOT_SECONDS = 90
TEMPORARY = "activity-bridge-rabbitmq-"


# --- Installing ---------------------------------------------------------------------------------

def server_folder():
    """The folder with the server's own scripts; Debian's wrapper in /usr/sbin would change the user."""
    versions = sorted(glob.glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    found = versions[-1] if versions else shutil.which("rabbitmq-server")
    return Path(found).resolve().parent if found else None


def ensure_installed():
    """Installs RabbitMQ where we know how, otherwise says what to install."""
    if server_folder() and shutil.which("epmd"):
        return
    if not has_apt():
        raise Failure("RabbitMQ is needed: install the package `rabbitmq-server` (with macOS's Homebrew: "
                      "`rabbitmq`) so that `rabbitmq-server` and `epmd` are in the PATH, "
                      "or set AMQP_URI to a broker that may be used")
    with lock("rabbitmq-install"):
        if server_folder():
            return
        before = open_to_all()
        apt_install("rabbitmq-server")
        stop_system_node(before)


def open_to_all():
    """The ports of RabbitMQ and epmd on which something listens on every address of this machine."""
    ports = {5672, 15672, 25672, 4369}
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, local, _, state = line.split()[:4]
                address, port = local.split(":")
                if state == "0A" and not address.strip("0") and int(port, 16) in ports:
                    found.add(int(port, 16))
    return found


def stop_system_node(before):
    """Installing must not have opened a broker to the network; if it did, that one is stopped."""
    if not open_to_all() - before:
        return
    say("the installation started a RabbitMQ of the system's; stopping it")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    for command in (["service", "rabbitmq-server", "stop"], ["epmd", "-kill"]):
        with contextlib.suppress(OSError):
            subprocess.run(sudo + command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not wait_for(lambda: not open_to_all() - before, 10):
        raise Failure(f"installing RabbitMQ left ports {sorted(open_to_all() - before)} open on every address; "
                      "stop the service rabbitmq-server, then try again")


# --- A node -------------------------------------------------------------------------------------

class Node(Server):
    """One node. Its ports and data stay the same from one start to the next."""

    NAME = "RabbitMQ"
    FILE = "node.json"
    KEPT = (*Server.KEPT, "amqp_port", "dist_port", "epmd_port", "api_port", "plugins")

    def __init__(self, folder, management=True, amqp_port=None, plugins=()):
        super().__init__(folder)
        self.plugins = list(plugins)
        ports = free_ports(4)
        self.amqp_port = amqp_port or ports[0]
        self.dist_port, self.epmd_port = ports[1], ports[2]
        self.api_port = ports[3] if management else None

    @property
    def amqp_uri(self):
        return f"amqp://guest:guest@127.0.0.1:{self.amqp_port}/%2f"

    @property
    def api(self):
        return self.api_port and f"http://guest:guest@127.0.0.1:{self.api_port}"

    def state(self):
        return {**super().state(), "amqp_uri": self.amqp_uri, "api": self.api, "dir": str(self.dir)}

    def start(self, owner=None):
        """Starts the node and waits until it speaks AMQP; stops it when the process `owner` has ended."""
        self._write_files()
        try:
            try:
                self._boot(owner)
            except Failure:
                # On a busy machine it may give up on its own helpers, which it awaits for seconds only.
                if self.alive():
                    raise
                say("RabbitMQ ended while it started; starting it once more")
                self._boot()
        except BaseException:
            self.stop()
            raise

    def _boot(self, owner=None):
        log = self.dir / "console.log"
        self.launch([server_folder() / "rabbitmq-server"], log, self._environment())
        if owner:
            watch(__file__, self.dir, owner)
        # Ready is when the broker opens a conversation: its port is open well before that.
        self.await_ready(self._speaks_amqp, BOOT_SECONDS, log, 0.1)

    def restart(self):
        self.kill9()
        self.start()

    def stop(self):
        """Ends the node and its epmd. Without ceremony: what is in its folder is not for keeping."""
        with uninterrupted():
            self.kill9()
            wait_for(self._end_epmd, 5, 0.1)
            with contextlib.suppress(FileNotFoundError):
                (self.dir / self.FILE).unlink()

    def ctl(self, *args, check=True):
        """rabbitmqctl against this node; its output."""
        done = subprocess.run([str(server_folder() / "rabbitmqctl"), *args], env=self._environment(),
                              cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if check and done.returncode != 0:
            raise Failure(f"rabbitmqctl {' '.join(args)}: {done.stdout.strip()}")
        return done.stdout

    def _speaks_amqp(self):
        try:
            with socket.create_connection(("127.0.0.1", self.amqp_port), timeout=2) as conn:
                conn.sendall(b"AMQP\x00\x00\x09\x01")
                frame = b""
                while len(frame) < 11:
                    more = conn.recv(11 - len(frame))
                    if not more:
                        return False
                    frame += more
        except OSError:
            return False
        # A method frame on channel 0: class 10 (connection), method 10 (start).
        return frame[:3] == b"\x01\x00\x00" and frame[7:] == b"\x00\x0a\x00\x0a"

    def _end_epmd(self):
        """epmd refuses while it still knows of a node, so a moment after a kill it may take a second try."""
        env = {**self._environment(), "ERL_EPMD_PORT": str(self.epmd_port)}
        subprocess.run(["epmd", "-port", str(self.epmd_port), "-kill"], env=env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.epmd_port)) != 0

    def _write_files(self):
        for name in ("home", "data", "log", "config"):
            (self.dir / name).mkdir(parents=True, exist_ok=True)
        cookie = self.dir / "home/.erlang.cookie"
        if not cookie.exists():
            cookie.write_text(os.urandom(16).hex())
            cookie.chmod(0o400)
        settings = ["loopback_users = none", "disk_free_limit.absolute = 50MB"]
        if self.api_port:
            settings += ["management.tcp.ip = 127.0.0.1", f"management.tcp.port = {self.api_port}",
                         "collect_statistics_interval = 1000"]
        enabled = [*self.plugins, *(["rabbitmq_management"] if self.api_port else [])]
        plugins = f"[{', '.join(enabled)}]."
        for name, text in (("rabbitmq.conf", "\n".join(settings) + "\n"), ("advanced.config", "[].\n"),
                           ("plugins", plugins + "\n"), ("env.conf", "")):
            (self.dir / "config" / name).write_text(text)
        (self.dir / "config/conf.d").mkdir(exist_ok=True)

    def _environment(self):
        """Everything is said here, so that neither /etc/rabbitmq nor the user's environment has a say."""
        config = self.dir / "config"
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        own = {
            "HOME": self.dir / "home",
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": self.epmd_port,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": config / "env.conf",
            "RABBITMQ_CONFIG_FILE": config / "rabbitmq.conf",
            "RABBITMQ_CONFIG_FILES": config / "conf.d",
            "RABBITMQ_ADVANCED_CONFIG_FILE": config / "advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": config / "plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": config / "generated",
            "RABBITMQ_NODENAME": "a@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.amqp_port,
            "RABBITMQ_DIST_PORT": self.dist_port,
            "RABBITMQ_MNESIA_BASE": self.dir / "data",
            "RABBITMQ_LOG_BASE": self.dir / "log",
            "RABBITMQ_PID_FILE": self.dir / "rabbitmq.pid",
            # The node idles without spinning; rabbitmqctl's own node stays on loopback too.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} +sbwt none",
            "RABBITMQ_CTL_ERL_ARGS": loopback,
            # The process started is then the node itself, and signals reach it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        return {**kept, **{key: str(value) for key, value in own.items()}}


@contextlib.contextmanager
def private_node(management=True):
    """A node in a temporary folder, gone when the block ends, whatever ends it."""
    ensure_installed()
    folder = tempfile.mkdtemp(prefix=TEMPORARY)
    node = Node(folder, management)
    try:
        node.start(owner=os.getpid())
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


# --- The command line ---------------------------------------------------------------------------

def run(options):
    with private_node(management=not options.plain) as node:
        env = {"AMQP_URI": node.amqp_uri, "RABBITMQ_NODE_DIR": str(node.dir), "RABBITMQ_PID": str(node.pid)}
        if node.api:
            env["RABBITMQ_API"] = node.api
        return run_to_end(options.command, env)


def start(options):
    ensure_installed()
    if (options.dir / Node.FILE).exists():
        node = Node.load(options.dir)
        if node.alive():
            raise Failure(f"a node is already running in {options.dir}")
    else:
        node = Node(options.dir, not options.plain, options.amqp_port, options.plugin)
    node.start(options.owner)
    print(json.dumps(node.state()), flush=True)
    return 0


def watch_command(options):
    """Ends by itself when the node is stopped."""
    owner = identity(options.owner)
    node = None
    while True:
        try:
            node = Node.load(options.dir)  # again each time: a restart changes its process
        except Failure:
            if node is None or options.dir.exists():
                return 0
            break  # the folder was removed below a running node
        if owner is None or identity(options.owner) != owner:
            break
        time.sleep(1)
    node.stop()
    if node.dir.name.startswith(TEMPORARY):
        shutil.rmtree(node.dir, ignore_errors=True)
    return 0


def restart_command(options):
    node = Node.load(options.dir)
    node.restart()
    print(json.dumps(node.state()), flush=True)
    return 0


def ctl_command(options):
    print(Node.load(options.dir).ctl(*options.command), end="")
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
    sub = command("run", run, folder=False)
    sub.add_argument("--plain", action="store_true", help="without the management plugin: starts sooner")
    sub.add_argument("command", nargs="+")
    sub = command("start", start)
    sub.add_argument("--plain", action="store_true", help="without the management plugin: starts sooner")
    sub.add_argument("--amqp-port", type=int)
    sub.add_argument("--plugin", action="append", default=[], metavar="NAME", help="a plugin to enable; may be repeated")
    sub.add_argument("--owner", type=int, metavar="PID", help="stop the node when this process has ended")
    sub.add_argument("--json", action="store_true", help="(what is printed is always JSON)")
    command("stop", lambda options: Node.load(options.dir).stop() or 0)
    command("kill9", lambda options: Node.load(options.dir).kill9() or 0)
    command("restart", restart_command)
    command("pause", lambda options: Node.load(options.dir).signal(signal.SIGSTOP) or 0)
    command("resume", lambda options: Node.load(options.dir).signal(signal.SIGCONT) or 0)
    command("ctl", ctl_command).add_argument("command", nargs="+")
    command("watch", watch_command).add_argument("--owner", type=int, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(lambda: (lambda options: options.action(options))(parse(sys.argv[1:])))
