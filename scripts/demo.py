#!/usr/bin/env python3
"""`make demo`: tasks flow from a simulated SWF through the bridge and RabbitMQ to Python workers, and back.

TASKS=1000 says how many. AMQP_URI names a broker to use instead of a private RabbitMQ node. Everything that
is started is stopped again. Exit code 0 only if every task ended as its input asked for.
"""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import venv
from rabbitmq import ensure_installed, private_node
from system import ROOT, TARGET, Failure, Process, await_200, free_ports, http, main, wait_for

DOMAIN = "demo"
# Two routes: one for the plain worker, one for tasks that use more of the protocol.
PLAIN, MORE = "demo", "demo-lifecycle"
# On a broker of the user's nothing of the user's is touched.
QUEUES = {PLAIN: "activity-bridge-demo", MORE: "activity-bridge-demo-lifecycle"}

WAIT_SECS, HEARTBEAT_TIMEOUT_SECS = 4, 3  # without its heartbeats such a task would time out
HOLD_SECS = 3  # an empty poll; 60 on SWF, which would make the demo's shutdown as long
STALLED_SECS = 30
RELEASE = TARGET / "release"


# --- The tasks ----------------------------------------------------------------------------------

def task_at(index):
    """The task with this number, and how it must end."""
    kind = {1: "fail", 2: "cancel", 3: "wait"}.get(index % 20) if index < 1000 else None
    task = {
        "domain": DOMAIN,
        "task_list": MORE if kind else PLAIN,
        "activity_type": {"name": "charge", "version": "1"},
        "timeouts": {"schedule_to_close": 300},
    }
    if kind == "fail":
        asked, end = {"do": "fail", "reason": "card declined"}, {"state": "failed", "reason": "card declined"}
    elif kind == "cancel":
        task["request_cancel"] = True
        asked, end = {"do": "cancel"}, {"state": "canceled"}
    elif kind == "wait":
        task["timeouts"]["heartbeat"] = HEARTBEAT_TIMEOUT_SECS
        asked = {"do": "wait", "secs": WAIT_SECS}
        end = {"state": "completed", "result": json.dumps({"waited": WAIT_SECS})}
    else:
        asked = {"price": index, "quantity": 2}
        end = {"state": "completed", "result": json.dumps({"total": 2 * index})}
    return {**task, "input": json.dumps(asked)}, end


def amiss(record, end):
    """What is wrong with how a task ended, or None."""
    for key, wanted in end.items():
        if record.get(key) != wanted:
            return f"{key} is {record.get(key)!r} instead of {wanted!r}"
    if "waited" in end.get("result", "") and not record["heartbeat_count"]:
        return "it was completed without a heartbeat"
    return None


# --- The parts ----------------------------------------------------------------------------------

def build():
    if not shutil.which("cargo"):
        raise Failure("cargo is needed: install Rust")
    print("building the bridge and the simulator ...", flush=True)
    if subprocess.run(["cargo", "build", "--release", "-p", "activity-bridge", "-p", "activity-sim"], cwd=ROOT).returncode != 0:
        raise Failure("cargo build --release failed")


def start_broker(stack, python):
    """A private node, or the broker that AMQP_URI names."""
    uri = os.environ.get("AMQP_URI")
    if uri:
        print("RabbitMQ: the one that AMQP_URI names", flush=True)
        stack.callback(delete_queues, python, uri)
        return uri
    print("RabbitMQ: starting a private node ...", flush=True)
    began = time.monotonic()
    node = stack.enter_context(private_node(management=False))
    print(f"RabbitMQ: ready on 127.0.0.1:{node.amqp_port} after {time.monotonic() - began:.1f} s", flush=True)
    return node.amqp_uri


def delete_queues(python, uri):
    """A private node goes as a whole; from another broker the demo's queues are removed."""
    script = ("import os, sys, pika\n"
              "channel = pika.BlockingConnection(pika.URLParameters(os.environ['AMQP_URI'])).channel()\n"
              "for queue in sys.argv[1:]: channel.queue_delete(queue)")
    subprocess.run([str(python), "-c", script, *QUEUES.values()], env={**os.environ, "AMQP_URI": uri},
                   stderr=subprocess.DEVNULL)


def start_simulator(stack, folder):
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    sim = Process("the simulator", [RELEASE / "activity-sim", "--listen", f"127.0.0.1:{port}",
                                    "--domain", DOMAIN, "--hold-secs", HOLD_SECS], folder / "simulator.log")
    stack.callback(sim.stop)
    await_200(sim, f"{url}/_sim/summary")
    print(f"simulated SWF: {url}", flush=True)
    return sim, url


def start_bridge(stack, folder, amqp_uri, sim_url):
    admin = f"127.0.0.1:{free_ports(1)[0]}"
    config = folder / "bridge.toml"
    config.write_text(bridge_config(amqp_uri, admin))
    # Nothing of the user's own AWS account or settings gets in.
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ACTIVITY_BRIDGE_"))}
    env.update(AWS_ENDPOINT_URL_SWF=sim_url, AWS_ACCESS_KEY_ID="demo", AWS_SECRET_ACCESS_KEY="demo",
               AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    bridge = Process("the bridge", [RELEASE / "activity-bridge", "run", "--config", config],
                     folder / "bridge.log", env)
    stack.push(lambda kind, *_: drain_after(bridge, kind))
    await_200(bridge, f"http://{admin}/readyz")
    print(f"bridge: ready, http://{admin}/metrics", flush=True)
    return bridge, f"http://{admin}"


def bridge_config(amqp_uri, admin):
    # A JSON string is a TOML string.
    text = f"""
[aws]
region = "eu-west-1"
[amqp]
uri = {json.dumps(amqp_uri)}
[store]
kind = "memory"
[admin]
listen = "{admin}"
[shutdown]
grace_secs = 20
"""
    for route, queue in QUEUES.items():
        text += f"""
[[routes]]
name = "{route}"
queue = "{queue}"
max_in_flight = 500
[routes.swf]
domain = "{DOMAIN}"
task_list = "{route}"
[routes.heartbeat]
timeout_secs = {HEARTBEAT_TIMEOUT_SECS}
"""
    return text


def start_workers(workers, folder, python, amqp_uri):
    for number, (script, route) in enumerate((("worker.py", PLAIN), ("worker.py", PLAIN), ("demo_worker.py", MORE))):
        workers.append(Process(f"worker {number} ({script})",
                               [python, ROOT / "examples/python" / script, QUEUES[route]],
                               folder / f"worker-{number}.log", {**os.environ, "AMQP_URI": amqp_uri}))
    print("workers: 2 x examples/python/worker.py, 1 x examples/python/demo_worker.py", flush=True)


def drain(bridge):
    """SIGTERM: the bridge takes no more tasks, ends its open polls, settles what is in flight."""
    if bridge.child.poll() is not None:
        return  # drained already, or ended by itself, which has been said
    print("bridge: SIGTERM, draining ...", flush=True)
    began = time.monotonic()
    if not bridge.stop(25):
        raise bridge.failure(f"the bridge did not drain (exit code {bridge.child.returncode})")
    print(f"bridge: drained after {time.monotonic() - began:.1f} s, exit code 0", flush=True)


def drain_after(bridge, problem):
    """On the way out of a failure that failure is what is told, not that the bridge could not drain after it."""
    try:
        drain(bridge)
    except Failure as failure:
        if problem is None:
            raise
        print(str(failure).partition(";")[0], flush=True)


# --- The run ------------------------------------------------------------------------------------

class Progress:
    """One line, redrawn on a terminal; elsewhere a line a second."""

    def __init__(self, total):
        self.total, self.began, self.shown = total, time.monotonic(), 0
        self.terminal = sys.stdout.isatty()

    def show(self, scheduled, summary, last=False):
        now = time.monotonic()
        if not last and now - self.shown < (0.1 if self.terminal else 1):
            return
        self.shown = now
        closed = settled(summary)
        bar = "#" * (30 * closed // self.total)
        line = (f"[{bar:<30}] {closed} of {self.total} settled, {scheduled - summary['polled']} waiting at SWF, "
                f"{summary['polled'] - closed} in flight, {now - self.began:.1f} s")
        if self.terminal:
            line = line[:shutil.get_terminal_size().columns - 1]
        start, end = ("\r\x1b[K", "\n" if last else "") if self.terminal else ("", "\n")
        print(f"{start}{line}", end=end, flush=True)


def settled(summary):
    return sum(summary[state] for state in ("completed", "failed", "canceled", "timed_out"))


def flow(total, sim_url, processes):
    """Schedules the tasks at an even pace and waits until all have ended. The ends asked for, by activity id."""
    ends, progress = {}, Progress(total)
    pace = max(200, total / 20)
    began = changed = time.monotonic()
    before = None
    while True:
        for process in processes:
            process.check()
        due = min(total, int((time.monotonic() - began) * pace) + 1)
        if len(ends) < due:
            tasks = [task_at(index) for index in range(len(ends), due)]
            ids = json.loads(http(f"{sim_url}/_sim/schedule", [task for task, _ in tasks]))["activity_ids"]
            ends.update(zip(ids, (end for _, end in tasks)))
        summary = json.loads(http(f"{sim_url}/_sim/summary"))
        done = settled(summary) >= total
        if (summary["polled"], settled(summary)) != before:
            before, changed = (summary["polled"], settled(summary)), time.monotonic()
        stalled = time.monotonic() - changed > STALLED_SECS
        progress.show(len(ends), summary, last=done or stalled)
        if done:
            return ends
        if stalled:
            print(f"nothing has moved for {STALLED_SECS} s: giving up", flush=True)
            return ends
        time.sleep(0.05)


def published(metrics):
    """The confirmed publishes of each route."""
    counts = {}
    for line in metrics.splitlines():
        if line.startswith("activity_bridge_publishes_total{") and 'outcome="confirmed"' in line:
            route = line.partition('route="')[2].partition('"')[0]
            counts[route] = counts.get(route, 0) + int(float(line.rpartition(" ")[2]))
    return counts


def report(sim_url, ends, confirmed):
    """Prints the table, from the simulator's own record. The number of tasks that were lost."""
    records = {record["activity_id"]: record for record in json.loads(http(f"{sim_url}/_sim/tasks"))}
    lost = {}
    for activity_id, end in ends.items():
        problem = amiss(records[activity_id], end)
        if problem:
            lost[activity_id] = problem
    columns = []
    for route in (PLAIN, MORE, None):
        summary = json.loads(http(f"{sim_url}/_sim/summary" + (f"?task_list={route}" if route else "")))
        columns.append({
            "route": route or "together",
            **{key: summary[key] for key in ("scheduled", "polled")},
            "published": confirmed.get(route, 0) if route else sum(confirmed.values()),
            **{key: summary[key] for key in ("completed", "failed", "canceled")},
            "lost": sum(1 for one in lost if route in (None, records[one]["task_list"])),
            "duplicates": summary["late_calls"],
            "end-to-end p50": duration(summary["p50_ms"]) if settled(summary) else "-",
            "end-to-end p99": duration(summary["p99_ms"]) if settled(summary) else "-",
        })
    print_table(columns)
    for activity_id, problem in list(lost.items())[:10]:
        print(f"lost: {activity_id} ({records[activity_id]['task_list']}): {problem}")
    beats = sum(1 for record in records.values() if record["heartbeat_count"])
    print(f"{len(ends) - len(lost)} of {len(ends)} tasks ended as their input asked, {beats} of them with heartbeats\n"
          f"p50 and p99 are from scheduled to settled; some tasks of {MORE} take {WAIT_SECS} s")
    return len(lost)


def duration(ms):
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"


def print_table(columns):
    """A column for each route: that fits a narrow terminal."""
    cells = [[name, *(str(column[name]) for column in columns)] for name in columns[0]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    print()
    for name, *values in cells:
        print(f"{name:<{widths[0]}}", *(f"{value:>{width}}" for value, width in zip(values, widths[1:])), sep="   ")
    print()


def tasks_asked():
    try:
        total = int(os.environ.get("TASKS", "1000"))
    except ValueError:
        total = 0
    if not 1 <= total <= 1_000_000:
        raise Failure("TASKS must be a number between 1 and 1000000")
    return total


def demo():
    total = tasks_asked()
    if not os.environ.get("AMQP_URI"):
        ensure_installed()
    python = venv.ensure(venv.WORKER)
    build()
    folder = Path(tempfile.mkdtemp(prefix="activity-bridge-demo-"))
    try:
        # Stopped in the opposite order: the bridge first, so that it drains with everything else still there.
        with contextlib.ExitStack() as stack:
            amqp_uri = start_broker(stack, python)
            sim, sim_url = start_simulator(stack, folder)
            workers = []
            stack.callback(lambda: [worker.stop() for worker in workers])
            bridge, admin = start_bridge(stack, folder, amqp_uri, sim_url)
            start_workers(workers, folder, python, amqp_uri)
            # The bridge does not poll before it has seen consumers.
            wait_for(lambda: json.loads(http(f"{sim_url}/_sim/summary"))["open_polls"] > 1, 10)
            ends = flow(total, sim_url, [sim, bridge, *workers])
            confirmed = published(http(f"{admin}/metrics"))
            try:
                drain(bridge)
            finally:
                lost = report(sim_url, ends, confirmed)
        print("stopped: the bridge, the workers, the simulator" + ("" if os.environ.get("AMQP_URI") else ", RabbitMQ"))
    except (KeyboardInterrupt, SystemExit):
        print("\ninterrupted; everything that was started has been stopped", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError as error:
        raise Failure(f"a part of the demo no longer answers: {error}; the logs are in {folder}") from error
    except BaseException:
        print(f"\neverything that was started has been stopped; the logs are in {folder}", flush=True)
        raise
    if lost:
        print(f"the logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    main(demo)
