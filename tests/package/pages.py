"""The status page in a real browser, and `activity-bridge top` in a real terminal, with a bridge that has something to show."""
import fcntl
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import venv
from parts import ROOT, start_simulator
from roots import CACHE
from served import DOMAIN
from system import TARGET, Failure, Process, apt_install, bridge_environment, free_ports, has_apt, http, wait_for

HERE = Path(__file__).resolve().parent
IMAGES = ROOT / "docs/images"
# An image in the documents.
MAX_IMAGE = 200_000
MISSING = "post"
# A route with workers, one that nobody serves, one with a long name, and one that AWS refuses.
CONFIG = """
[admin]
listen = "ADMIN"
[amqp]
listen = "AMQP"
[store]
kind = "memory"
[shutdown]
grace_secs = 20
[[routes]]
name = "payments"
queue = "payments"
max_in_flight = 40
pollers = { min = 1, max = 4 }
heartbeat = { timeout_secs = 60 }
swf = { domain = "DOMAIN", task_list = "payments" }
[[routes]]
name = "mail"
queue = "mail"
heartbeat = { timeout_secs = 60 }
swf = { domain = "DOMAIN", task_list = "mail" }
[[routes]]
name = "thumbnails-of-uploaded-documents-and-scans"
queue = "thumbnails-of-uploaded-documents-and-scans"
max_in_flight = 4
poll_without_consumers = true
max_ready = 10
heartbeat = { timeout_secs = 60 }
swf = { domain = "DOMAIN", task_list = "thumbnails" }
[[routes]]
name = "reports"
queue = "reports"
poll_without_consumers = true
max_ready = 10
heartbeat = { timeout_secs = 60 }
swf = { domain = "MISSING", task_list = "reports" }
"""


def chromium():
    found = next((path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path), None)
    if not found:
        if not has_apt():
            raise Failure("please install Chromium")
        apt_install("chromium", "fonts-liberation")
        found = shutil.which("chromium")
    return found


def schedule(sim_url, task_list, count, **order):
    http(f"{sim_url}/_sim/schedule", {"domain": DOMAIN, "task_list": task_list, "input": json.dumps(order), "count": count})


def check_pages(folder, processes, checks):
    browser = chromium()
    python = venv.ensure(HERE / "pages.txt", folder=venv.TOOLS)
    worker_python = venv.ensure(venv.WORKER)
    sim_url = start_simulator(folder, processes, DOMAIN)
    amqp, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
    config = folder / "pages.toml"
    text = CONFIG
    for word, value in ("ADMIN", admin), ("AMQP", amqp), ("DOMAIN", DOMAIN), ("MISSING", MISSING):
        text = text.replace(word, value)
    config.write_text(text)
    words = [TARGET / "debug/activity-bridge"]
    processes.append(Process("the bridge", [*words, "run", "--config", config], folder / "pages.log", bridge_environment(sim_url)))
    if not wait_for(lambda: "polling" in status(admin), 30):
        raise processes[-1].failure("no route polls")
    env = {**os.environ, "AMQP_URI": f"amqp://{amqp}"}
    for _ in range(2):
        demo = [worker_python, ROOT / "examples/python/demo_worker.py", "payments"]
        processes.append(Process("a worker", demo, folder / "worker.log", env))
    schedule(sim_url, "thumbnails", 30)
    shots = CACHE / "screenshots"
    shutil.rmtree(shots, ignore_errors=True)
    shots.mkdir(parents=True)
    looking = subprocess.Popen([python, HERE / "browse.py", browser, f"http://{admin}/", shots], stdout=subprocess.PIPE, text=True)
    try:
        # Some traffic while the browser looks: short tasks, slow ones, and failures.
        while looking.poll() is None:
            schedule(sim_url, "payments", random.randint(2, 9), do="wait", secs=round(random.uniform(0.2, 1.5), 2))
            schedule(sim_url, "payments", 1, do="fail", reason="no money")
            time.sleep(0.7)
        found = looking.stdout.read()
    finally:
        looking.kill()
    if looking.returncode != 0:
        raise Failure(f"tests/package/browse.py failed: {found}")
    for name, problems in json.loads(found).items():
        checks.check(name, problems)
    images = sorted(shots.glob("status-*.png"))
    checks.check("the_screenshots_are_small", [f"{path.name}: {path.stat().st_size} bytes" for path in images if path.stat().st_size > MAX_IMAGE])
    if os.environ.get("SCREENSHOTS") == "docs":
        IMAGES.mkdir(exist_ok=True)
        for path in images:
            shutil.copy(path, IMAGES)
    print(f"screenshots: {shots.relative_to(ROOT)}", flush=True)
    for name, key in ("q", b"q"), ("ctrl_c", b"\x03"):
        checks.check(f"top_draws_in_a_terminal_and_ends_with_{name}", top_in_a_terminal([*words, "top", "--config", config], key))


def status(admin):
    try:
        return http(f"http://{admin}/status.json")
    except OSError:
        return ""


def top_in_a_terminal(words, key):
    """What is wrong with `top` on a terminal of 100 columns, which this key ends."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    before = termios.tcgetattr(follower)
    child = subprocess.Popen([str(word) for word in words], stdin=follower, stdout=follower, stderr=follower, start_new_session=True)
    said = b""

    def read(until, seconds):
        nonlocal said
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            if select.select([leader], [], [], 0.1)[0]:
                said += os.read(leader, 65_536)
        return until()

    try:
        problems = [] if read(lambda: said.count(b"\x1b[H") >= 2, 30) else ["it drew less than two looks"]
        os.write(leader, key)
        problems += [] if read(lambda: child.poll() is not None, 10) else ["the key did not end it"]
        problems += [] if child.poll() == 0 else [f"code {child.poll()}"]
        read(lambda: b"\x1b[?1049l" in said, 2)
        text = said.decode(errors="replace")
        problems += [] if text.rstrip().endswith("\x1b[?25h\x1b[?1049l") else ["the shell's screen did not come back"]
        problems += [] if termios.tcgetattr(follower) == before else ["the terminal's settings did not come back"]
        frame = text.split("\x1b[H")[1].split("\x1b[J")[0]
        rows = [re.sub(r"\x1b\[[0-9;]*[mK]", "", row) for row in frame.replace("\r\n", "\n").split("\n")]
        problems += [f"too long: {row}" for row in rows if len(row) > 100]
        problems += [] if len(rows) <= 30 else [f"{len(rows)} rows"]
        problems += [f"no {word}" for word in ("payments", "not ready", "reports") if not any(word in row for row in rows)]
        return problems
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
            child.wait()
        os.close(leader)
        os.close(follower)
