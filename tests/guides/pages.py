"""Reads the commands of a page, and runs them in a bash as a reader does."""
import os
import re
import subprocess
import sys
from pathlib import Path

from parts import CREDENTIALS, ROOT, TARGET
from system import Failure, bridge_environment, free_ports, wait_for

DEADLINE_SECS = 60
PIP = "python3 -m venv venv && venv/bin/pip install -q -r examples/python/requirements.txt"


def steps(page):
    """The numbered commands of a page, in order, each without its comment; and the other blocks of shell commands."""
    numbered, others = {}, []
    for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S):
        found = re.split(r"^# (\d+)\. ", block, flags=re.M)
        if len(found) == 1:
            others.append(block)
        for number, text in zip(found[1::2], found[2::2]):
            numbered[int(number)] = text.partition("\n")[2]
    return numbered, others


class Shell:
    """A bash in a folder with the examples and policies of the repository. Its AWS is at `aws`. The bridge that it starts is the one
    that was built, on ports of its own. `log` has what it and its children say on standard error."""

    def __init__(self, folder, aws):
        folder.mkdir()
        for name in "deploy", "examples":
            (folder / name).symlink_to(ROOT / name)
        amqp, admin = free_ports(2)
        env = {**bridge_environment(aws), "AWS_ENDPOINT_URL": aws, "AWS_DEFAULT_REGION": CREDENTIALS["AWS_REGION"], "AWS_PAGER": "",
               "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
               "ACTIVITY_BRIDGE_AMQP__LISTEN": f"127.0.0.1:{amqp}", "ACTIVITY_BRIDGE_ADMIN__LISTEN": f"127.0.0.1:{admin}"}
        # What a reader's commands say, and what is run in its place.
        self.changes = {"target/release/activity-bridge": TARGET / "debug/activity-bridge", PIP: "mkdir venv",
                        "venv/bin/python ": f"{sys.executable} ", "amqp://127.0.0.1": f"amqp://127.0.0.1:{amqp}"}
        self.folder, self.log = folder, folder / "shell.log"
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(["bash"], cwd=folder, env=env, text=True, stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=log, start_new_session=True)

    def run(self, commands):
        """What they print. Raises when the last one fails."""
        for old, new in self.changes.items():
            commands = commands.replace(old, str(new))
        self.child.stdin.write(f"{commands}\necho \"//$?\"\n")
        self.child.stdin.flush()
        printed = []
        for line in self.child.stdout:
            if line.startswith("//"):
                if line != "//0\n":
                    raise Failure(f"code {line[2:].strip()} of\n{commands}\n{self.log.read_text()}")
                return "".join(printed).strip()
            printed.append(line)
        raise Failure(f"the shell ended in\n{commands}\n{self.log.read_text()}")

    def says(self, words):
        """Waits until a program that it has started says so."""
        if not wait_for(lambda: words in self.log.read_text(), DEADLINE_SECS):
            raise Failure(f"nothing says {words!r}:\n{self.log.read_text()}")

    def repeat(self, commands, done):
        """Runs them again until what they print is as it must be, and returns it."""
        printed = []
        wait_for(lambda: printed.append(self.run(commands)) or done(printed[-1]), DEADLINE_SECS, 0.5)
        return printed[-1]

    def left(self):
        """What a reader would find in the folder afterwards."""
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith(("venv", "first")))

    def stop(self):
        """And all that it has started."""
        if self.child.poll() is None:
            os.killpg(self.child.pid, 15)
        self.child.wait()
