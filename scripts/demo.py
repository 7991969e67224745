#!/usr/bin/env python3
"""`make demo`: tasks flow from simulated SWF and Step Functions through one bridge to Python workers, and back.

The bridge is the broker. With BROKER=rabbitmq the broker is a private RabbitMQ node, or the one that AMQP_URI names.
TASKS=1000 says how many tasks. Everything that is started is stopped again. Exit code 0 only if every task ended as its
input asked for.
"""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import venv
from rabbitmq import ensure_installed, private_node
from system import ROOT, TARGET, Failure, Process, await_200, bridge_environment, free_ports, http, main, wait_for

DOMAIN = "demo"
SWF, STEP_FUNCTIONS = "swf", "step-functions"
# One queue for the plain worker, one for the worker that only acknowledges, one for tasks that use more of the protocol. The
# tasks of both sources go to the same queue, so to the same workers. On a broker of the user's nothing of the user's is touched.
PLAIN, ACK, MORE = "activity-bridge-demo", "activity-bridge-demo-ack", "activity-bridge-demo-more"


class Route(NamedTuple):
    name: str
    source: str
    domain: str  # as the simulator has it: none for Step Functions
    task_list: str  # or the activity's ARN
    queue: str


ARN = "arn:aws:states:eu-west-1:123456789012:activity:"
ALL_ROUTES = [
    Route("swf", SWF, DOMAIN, "charge", PLAIN),
    Route("swf-ack", SWF, DOMAIN, "mail", ACK),
    Route("swf-more", SWF, DOMAIN, "charge-more", MORE),
    Route("sfn", STEP_FUNCTIONS, "", f"{ARN}charge", PLAIN),
    Route("sfn-ack", STEP_FUNCTIONS, "", f"{ARN}mail", ACK),
    Route("sfn-more", STEP_FUNCTIONS, "", f"{ARN}charge-more", MORE),
]
# RabbitMQ tells nobody that a worker has acknowledged a task.
RABBITMQ = bool(os.environ.get("AMQP_URI")) or os.environ.get("BROKER") == "rabbitmq"
ROUTES = [route for route in ALL_ROUTES if route.queue != ACK or not RABBITMQ]

SENT = "sent"  # what an acknowledgement gives as the result
WAIT_SECS, HEARTBEAT_TIMEOUT_SECS = 4, 3  # without its heartbeats such a task would time out
PLAIN_TIMEOUT_SECS = 60  # plain tasks have no heartbeat timeout
HOLD_SECS = 3  # an empty poll; 60 at AWS, which would make the demo's shutdown as long
STALLED_SECS = 30
PROFILE = "demo"  # in Cargo.toml; it compiles in half of the time of a release
BUILT = TARGET / PROFILE


# --- The tasks ----------------------------------------------------------------------------------

def kind_of(index):
    """Every second task is one of Step Functions. Of the first 1,000 more than a fifth is not plain."""
    source, number = (STEP_FUNCTIONS if index % 2 else SWF), index // 2
    kinds = {1: "fail", 2: "cancel", 3: "wait", 4: "stop"}
    if source == STEP_FUNCTIONS:
        kinds[5] = "retry"  # SWF leaves that to the decider
    if not RABBITMQ:
        kinds |= {6: "ack", 7: "ack", 8: "ack"}
    return source, kinds.get(number % 20, "plain") if number < 500 else "plain"


def task_at(index):
    """The task with this number, and how it must end."""
    source, kind = kind_of(index)
    queue = {"plain": PLAIN, "ack": ACK}.get(kind, MORE)
    route = next(route for route in ROUTES if (route.source, route.queue) == (source, queue))
    states = source == STEP_FUNCTIONS
    task = {"domain": route.domain, "task_list": route.task_list,
            "timeouts": {"start_to_close" if states else "schedule_to_close": 300}}
    if not states:
        task["activity_type"] = {"name": "charge", "version": "1"}
    if kind in ("wait", "stop"):
        task["timeouts"]["heartbeat"] = HEARTBEAT_TIMEOUT_SECS
    if kind == "fail":
        asked, end = {"do": "fail", "reason": "card declined"}, failed("card declined")
    elif kind == "cancel":
        if not states:
            task["request_cancel"] = True
        # Step Functions knows no canceled task.
        asked, end = {"do": "cancel"}, failed("Canceled") if states else {"state": "canceled"}
    elif kind == "wait":
        asked, end = {"do": "wait", "secs": WAIT_SECS}, completed({"waited": WAIT_SECS})
    elif kind == "stop":
        # At Step Functions that is the end, and the worker hears `gone`; at SWF the worker ends it, by its answer.
        asked, end = {"do": "wait", "secs": 300}, {"state": "canceled"}
    elif kind == "retry":
        task["retry"] = {"max_attempts": 1, "interval": 0.5}
        asked, end = {"do": "fail-once", "order": index}, completed({"order": index})
    elif kind == "ack":
        # Step Functions wants JSON; the route of SWF says its own.
        asked, end = {"to": "someone", "order": index}, {"state": "completed", "result": "null" if states else SENT}
    else:
        asked, end = {"price": index, "quantity": 2}, completed({"total": 2 * index})
    return {**task, "input": json.dumps(asked)}, end, kind


def completed(result):
    return {"state": "completed", "result": json.dumps(result)}


def failed(reason):
    return {"state": "failed", "reason": reason}


def amiss(kind, end, record, execution):
    """What is wrong with how a task ended, or None. One of Step Functions has an execution; `record` is its last attempt's."""
    problem = difference("", record, end)
    if execution and not problem:
        status = {"completed": "SUCCEEDED", "failed": "FAILED", "canceled": "ABORTED"}[end["state"]]
        wanted = {"status": status, "output": end.get("result"), "attempts": 2 if kind == "retry" else 1}
        if status == "FAILED":
            wanted["error"] = end["reason"]
        problem = difference("its execution's ", {**execution, "attempts": len(execution["attempts"])}, wanted)
    if not problem and kind in ("wait", "stop") and not record["heartbeat_count"]:
        return "it ended without a heartbeat"
    return problem


def difference(whose, found, wanted):
    for key, value in wanted.items():
        if found.get(key) != value:
            return f"{whose}{key} is {found.get(key)!r} instead of {value!r}"
    return None


# --- The parts ----------------------------------------------------------------------------------

def build():
    if not shutil.which("cargo"):
        raise Failure("cargo is needed: install Rust")
    print("building the bridge and the simulator ...", flush=True)
    command = ["cargo", "build", "--profile", PROFILE, "-p", "activity-bridge", "-p", "activity-sim"]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise Failure(f"{' '.join(command)} failed")


def start_broker(stack, python):
    """The address of a private node, or of the broker that AMQP_URI names; None where the bridge is the broker."""
    if not RABBITMQ:
        return None
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
    subprocess.run([str(python), "-c", script, PLAIN, MORE], env={**os.environ, "AMQP_URI": uri},
                   stderr=subprocess.DEVNULL)


def start_simulator(stack, folder):
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    activities = [word for route in ROUTES if route.source == STEP_FUNCTIONS
                  for word in ("--activity", route.task_list.removeprefix(ARN))]
    sim = Process("the simulator", [BUILT / "activity-sim", "--listen", f"127.0.0.1:{port}", "--domain", DOMAIN,
                                    *activities, "--hold-secs", HOLD_SECS], folder / "simulator.log")
    stack.callback(sim.stop)
    await_200(sim, f"{url}/_sim/summary")
    print(f"simulated SWF and Step Functions: {url}", flush=True)
    return sim, url


def start_bridge(stack, folder, amqp_uri, sim_url):
    """The address of its admin endpoint, and that of the broker for workers."""
    ports = free_ports(2)
    admin, listen = (f"127.0.0.1:{port}" for port in ports)
    # A JSON string is a TOML string.
    broker = f"uri = {json.dumps(amqp_uri)}" if amqp_uri else f'listen = "{listen}"'
    config = folder / "bridge.toml"
    # The default but for its place. Its reply queue would stay on a broker of the user's until it expires; memory's does not.
    store = 'kind = "memory"' if os.environ.get("AMQP_URI") else f"path = {json.dumps(str(folder / 'tasks.redb'))}"
    config.write_text(bridge_config(broker, admin, store))
    bridge = Process("the bridge", [BUILT / "activity-bridge", "run", "--config", config],
                     folder / "bridge.log", bridge_environment(sim_url))
    stack.push(lambda kind, *_: drain_after(bridge, kind))
    await_200(bridge, f"http://{admin}/readyz")
    print(f"bridge: ready with {len(ROUTES)} routes, http://{admin}/metrics, http://{admin}/tasks", flush=True)
    if not amqp_uri:
        print(f"bridge: it is the broker, amqp://{listen}", flush=True)
    return bridge, f"http://{admin}", amqp_uri or f"amqp://guest:guest@{listen}/%2f"


def bridge_config(broker, admin, store):
    text = f"""
[amqp]
{broker}
[store]
{store}
[admin]
listen = "{admin}"
[shutdown]
grace_secs = 20
"""
    for route in ROUTES:
        text += f"""
[[routes]]
name = "{route.name}"
queue = "{route.queue}"
max_in_flight = 500
{f'ack_result = "{SENT}"' if (route.source, route.queue) == (SWF, ACK) else ""}
[routes.heartbeat]
timeout_secs = {HEARTBEAT_TIMEOUT_SECS if route.queue == MORE else PLAIN_TIMEOUT_SECS}
"""
        if route.source == SWF:
            text += f"""[routes.swf]
domain = "{route.domain}"
task_list = "{route.task_list}"
"""
        else:
            text += f"""[routes.step_functions]
activity_arn = "{route.task_list}"
"""
    return text


def start_workers(workers, folder, python, amqp_uri):
    """Starts the workers. Only one of them may end by itself: the dying one, the last."""
    scripts = [("worker.py", PLAIN), ("worker.py", PLAIN), ("ack_worker.py", ACK), ("demo_worker.py", MORE),
               ("demo_dying_worker.py", PLAIN)]
    for number, (script, queue) in enumerate(scripts):
        if any(route.queue == queue for route in ROUTES):
            workers[script, number] = Process(f"worker {number} ({script})",
                                              [python, ROOT / "examples/python" / script, queue],
                                              folder / f"worker-{number}.log", {**os.environ, "AMQP_URI": amqp_uri})
    names = Counter(script for script, _ in workers)
    print(f"workers in examples/python: {', '.join(f'{count} x {script}' for script, count in names.items())}", flush=True)


def log_of(workers, wanted):
    return "".join(worker.log.read_text() for (script, _), worker in workers.items() if script == wanted)


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

    def show(self, summary, last=False):
        now = time.monotonic()
        if not last and now - self.shown < (0.1 if self.terminal else 1):
            return
        self.shown = now
        closed = settled(summary)
        bar = "#" * (30 * closed // self.total)
        line = (f"[{bar:<30}] {closed} of {self.total} settled, {summary['scheduled'] - summary['polled']} waiting at AWS, "
                f"{summary['polled'] - closed} in flight, {now - self.began:.1f} s")
        if self.terminal:
            line = line[:shutil.get_terminal_size().columns - 1]
        start, end = ("\r\x1b[K", "\n" if last else "") if self.terminal else ("", "\n")
        print(f"{start}{line}", end=end, flush=True)


def settled(summary):
    return sum(summary[state] for state in ("completed", "failed", "canceled", "timed_out"))


def flow(total, sim_url, processes):
    """Schedules the tasks at an even pace and waits until all have ended.

    Returns their kinds and the ends asked for, by activity id, and when the first task had ended.
    """
    asked, stops = {}, set()
    attempts = total + sum(kind_of(index)[1] == "retry" for index in range(total))
    progress, first = Progress(attempts), None
    pace = max(200, total / 20)
    began = changed = time.monotonic()
    before = None
    while True:
        for process in processes:
            process.check()
        due = min(total, int((time.monotonic() - began) * pace) + 1)
        if len(asked) < due:
            tasks = [task_at(index) for index in range(len(asked), due)]
            ids = json.loads(http(f"{sim_url}/_sim/schedule", [task for task, _, _ in tasks]))["activity_ids"]
            asked.update(zip(ids, ((kind, end) for _, end, kind in tasks)))
            stops.update(one for one, (_, _, kind) in zip(ids, tasks) if kind == "stop")
        if stops:
            stops -= stop(sim_url, stops)
        summary = json.loads(http(f"{sim_url}/_sim/summary"))
        if settled(summary) and first is None:
            first = time.monotonic()
        done = settled(summary) >= attempts
        if (summary["polled"], settled(summary)) != before:
            before, changed = (summary["polled"], settled(summary)), time.monotonic()
        stalled = time.monotonic() - changed > STALLED_SECS
        progress.show(summary, last=done or stalled)
        if done:
            return asked, first
        if stalled:
            print(f"nothing has moved for {STALLED_SECS} s: giving up", flush=True)
            return asked, first
        time.sleep(0.05)


def stop(sim_url, candidates):
    """Cancels those that a worker has been heard of for. Which these are."""
    heard = set()
    for route in ROUTES:
        if route.queue == MORE:
            started = json.loads(http(f"{sim_url}/_sim/tasks?state=started&task_list={route.task_list}"))
            heard |= {record["activity_id"] for record in started if record["heartbeat_count"]}
    now = candidates & heard
    if now:
        http(f"{sim_url}/_sim/cancel", {"activity_ids": sorted(now)})
    return now


def published(metrics):
    """The confirmed publishes of each route."""
    counts = {}
    for line in metrics.splitlines():
        if line.startswith("activity_bridge_publishes_total{") and 'outcome="confirmed"' in line:
            route = line.partition('route="')[2].partition('"')[0]
            counts[route] = counts.get(route, 0) + int(float(line.rpartition(" ")[2]))
    return counts


def report(sim_url, asked, confirmed, workers):
    """Prints the table, from the simulator's own record. How much went wrong."""
    records = {record["activity_id"]: record for record in json.loads(http(f"{sim_url}/_sim/tasks"))}
    executions = {execution["attempts"][0]: execution for execution in json.loads(http(f"{sim_url}/_sim/executions"))}
    lost = {}
    for activity_id, (kind, end) in asked.items():
        execution = None if records[activity_id]["domain"] else executions[activity_id]
        problem = amiss(kind, end, records[execution["attempts"][-1] if execution else activity_id], execution)
        if problem:
            lost[activity_id] = problem
    columns = []
    for route in [*ROUTES, None]:
        summary = json.loads(http(f"{sim_url}/_sim/summary" + (f"?task_list={route.task_list}" if route else "")))
        mine = [record for record in records.values() if not route or record["task_list"] == route.task_list]
        columns.append({
            "route": route.name if route else "together",
            **{key: summary[key] for key in ("scheduled", "polled")},
            "published": confirmed.get(route.name, 0) if route else sum(confirmed.values()),
            **{key: summary[key] for key in ("completed", "failed", "canceled")},
            "heartbeats": sum(record["heartbeat_count"] for record in mine),
            "lost": sum(record["activity_id"] in lost for record in mine),
            "duplicates": sum(map(duplicates, mine)),
            "end-to-end p50": duration(summary["p50_ms"]) if settled(summary) else "-",
            "end-to-end p99": duration(summary["p99_ms"]) if settled(summary) else "-",
        })
    print_table(columns)
    for activity_id, problem in list(lost.items())[:10]:
        print(f"lost: {activity_id} ({records[activity_id]['task_list']}): {problem}")
    print(f"{len(asked) - len(lost)} of {len(asked)} tasks ended as their input asked")
    gone, stopped = heard_gone(workers), aborted(executions.values())
    if executions:
        statuses = Counter(execution["status"] for execution in executions.values())
        print(f"executions: {', '.join(f'{count} {status}' for status, count in sorted(statuses.items()))}; "
              f"{sum(len(execution['attempts']) > 1 for execution in executions.values())} of them tried again; "
              f"workers heard `gone` {gone} times")
    if taken := log_of(workers, "demo_dying_worker.py").split():
        print(f"tasks of a worker that died, which other workers took: {len(taken)}")
    print(f"p50 and p99 are from scheduled to settled; some tasks take {WAIT_SECS} s")
    return len(lost) + columns[-1]["duplicates"] + abs(stopped - gone)


def aborted(executions):
    return sum(execution["status"] == "ABORTED" for execution in executions)


def heard_gone(workers):
    return log_of(workers, "demo_worker.py").count(" gone\n")


def await_gone(sim_url, workers):
    """Waits until workers have heard of each execution that was stopped."""
    stopped = aborted(json.loads(http(f"{sim_url}/_sim/executions")))
    wait_for(lambda: heard_gone(workers) >= stopped, 5)


def duplicates(record):
    """Settlements that AWS was sent beyond the one that ends a task; the end of an execution that is stopped needs none."""
    stopped = record["domain"] == "" and record["state"] == "canceled"
    return max(0, record["settle_calls"] - (0 if stopped else 1))


def duration(ms):
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"


def print_table(columns):
    """A column for each route: that fits a narrow terminal."""
    cells = [[name, *(str(column[name]) for column in columns)] for name in columns[0]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    print()
    for name, *values in cells:
        print(f"{name:<{widths[0]}}", *(f"{value:>{width}}" for value, width in zip(values, widths[1:])), sep="  ")
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
    if os.environ.get("BROKER", "endpoint") not in ("endpoint", "rabbitmq"):
        raise Failure("BROKER must be endpoint (the bridge is the broker) or rabbitmq")
    if RABBITMQ and not os.environ.get("AMQP_URI"):
        ensure_installed()
    python = venv.ensure(venv.WORKER, with_apt=RABBITMQ)
    build()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="activity-bridge-demo-"))
    try:
        # Stopped in the opposite order: the bridge first, so that it drains with everything else still there.
        with contextlib.ExitStack() as stack:
            amqp_uri = start_broker(stack, python)
            sim, sim_url = start_simulator(stack, folder)
            workers = {}
            stack.callback(lambda: [worker.stop() for worker in workers.values()])
            bridge, admin, amqp_uri = start_bridge(stack, folder, amqp_uri, sim_url)
            start_workers(workers, folder, python, amqp_uri)
            # The bridge does not poll before it has seen consumers.
            wait_for(lambda: json.loads(http(f"{sim_url}/_sim/summary"))["open_polls"] >= len(ROUTES), 10)
            lasting = [worker for (script, _), worker in workers.items() if script != "demo_dying_worker.py"]
            asked, first = flow(total, sim_url, [sim, bridge, *lasting])
            await_gone(sim_url, workers)
            confirmed = published(http(f"{admin}/metrics"))
            try:
                drain(bridge)
            finally:
                amount = report(sim_url, asked, confirmed, workers)
            if first:
                print(f"the first task was settled {first - began:.1f} s after the start of the first process")
        stopped = ["the bridge", "the workers", "the simulator"]
        if RABBITMQ and not os.environ.get("AMQP_URI"):
            stopped.append("RabbitMQ")
        print(f"stopped: {', '.join(stopped)}")
    except (KeyboardInterrupt, SystemExit):
        print("\ninterrupted; everything that was started has been stopped", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError as error:
        raise Failure(f"a part of the demo no longer answers: {error}; the logs are in {folder}") from error
    except BaseException:
        print(f"\neverything that was started has been stopped; the logs are in {folder}", flush=True)
        raise
    if amount:
        print(f"the logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    main(demo)
