#!/usr/bin/env python3
"""The example workers against the real bridge: each completes, fails, heartbeats and honours a cancel; one is killed.

`make test-workers` runs it: needs AMQP_URI, a built bridge and a built simulator. What the simulator has recorded is
what counts. All workers run at the same time, each with a route and a queue of its own: first with RabbitMQ, then with
the bridge as the broker.
"""
import json
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import run_suite, start_bridge, start_simulator  # noqa: E402
from system import Failure, Process, free_ports, http, last_lines, wait_for  # noqa: E402

import build  # noqa: E402

DOMAIN = "shop"
HEARTBEAT_SECS = 12
STEP_MS = 1000
LONG, VERY_LONG = 24, 28  # steps: of twice the heartbeat timeout; of more than a cancel may take
KILLED_HEARTBEAT_SECS, KILLED_STEP_MS = 9, 3200  # more than a third, so that each heartbeat is passed on at once
SLACK_MS = 3000  # what a busy machine may add
DEADLINE_SECS = 60
STOPPED = threading.Event()  # set when the run is interrupted
CLOSED = ("completed", "failed", "canceled", "timed_out")


def route(name, heartbeat_secs=HEARTBEAT_SECS):
    # amqp-tools show the body of a message alone.
    body = "properties_in_body = true\n" if name == "shell_amqp_tools" else ""
    return f"""
[[routes]]
name = "{name}"
queue = "worker-{name}"
{body}[routes.swf]
domain = "{DOMAIN}"
task_list = "{name}"
[routes.heartbeat]
timeout_secs = {heartbeat_secs}
"""


class Case:
    """One worker's tests: methods that return a list of problems, which is empty when the test passes."""
    tests = ("completes", "fails", "heartbeats", "honours_a_cancel")

    def __init__(self, name, process, sim):
        self.name, self.process, self.sim = name, process, sim

    def schedule(self, inputs, **timeouts):
        """Their activity ids."""
        common = {"domain": DOMAIN, "task_list": self.name, "timeouts": {"start_to_close": DEADLINE_SECS, **timeouts}}
        tasks = [{**common, "input": each if isinstance(each, str) else json.dumps(each)} for each in inputs]
        return json.loads(http(f"{self.sim}/_sim/schedule", tasks))["activity_ids"]

    def records(self, ids):
        records = json.loads(http(f"{self.sim}/_sim/tasks?task_list={self.name}"))
        return [record for record in records if record["activity_id"] in ids]

    def wait(self, ids, condition):
        """The records, once all of them meet the condition or the deadline has passed."""
        def met():
            self.process.check()
            if STOPPED.is_set():
                raise Failure("interrupted")
            return all(map(condition, self.records(ids)))

        wait_for(met, DEADLINE_SECS)
        return self.records(ids)

    def ended(self, ids):
        return self.wait(ids, lambda record: record["state"] in CLOSED)

    def completes(self):
        orders = [order(price=price, quantity=4, steps=2, step_ms=20) for price in range(1, 6)]
        records = self.ended(self.schedule(orders))
        return [problem for price, record in enumerate(records, 1) for problem in completed(record, 4 * price)]

    def fails(self):
        records = self.ended(self.schedule([order(quantity=-1), "no order at all"]))
        return [amiss(record, "failed") for record in records
                if (record["state"], record["reason"]) != ("failed", "bad-order")]

    def heartbeats(self):
        """Longer than its heartbeat timeout allows without a heartbeat."""
        [record] = self.ended(self.schedule([order(steps=LONG)], heartbeat=HEARTBEAT_SECS))
        problems = completed(record, 12)
        if len(progress(record)) < 2:
            problems.append(f"its heartbeats are {record['heartbeats']}")
        return problems

    def honours_a_cancel(self):
        ids = self.schedule([order(steps=VERY_LONG)], heartbeat=HEARTBEAT_SECS)
        [record] = self.wait(ids, progress)
        if not progress(record):
            return [amiss(record, "a heartbeat of the worker's")]
        http(f"{self.sim}/_sim/cancel", {"activity_ids": ids})
        [record] = self.ended(ids)
        if record["state"] != "canceled":
            return [amiss(record, "canceled")]
        took = record["closed_ms"] - record["started_ms"]
        return [f"it was canceled after {took} ms, when it was done"] if took >= VERY_LONG * STEP_MS else []

    def run(self):
        """The result of each test, in order."""
        results = []
        for test in self.tests:
            try:
                problems = getattr(self, test)()
            except Failure as failure:
                problems = [str(failure)]
            results.append((test, problems))
        return results


class Killed(Case):
    """A worker that nobody takes over from, because its queue is its own."""
    tests = ("killed_in_the_middle_is_noticed_within_one_heartbeat_timeout",)

    def killed_in_the_middle_is_noticed_within_one_heartbeat_timeout(self):
        ids = self.schedule([order(steps=VERY_LONG, step_ms=KILLED_STEP_MS)], heartbeat=KILLED_HEARTBEAT_SECS)
        [record] = self.wait(ids, lambda record: len(progress(record)) >= 2)
        if len(progress(record)) < 2:
            return [amiss(record, "two heartbeats of the worker's")]
        killed_ms = time.time() * 1000
        self.process.child.kill()
        self.process.child.wait()
        wait_for(lambda: STOPPED.is_set() or self.records(ids)[0]["state"] in CLOSED, DEADLINE_SECS)
        [record] = self.records(ids)
        if (record["state"], record["timeout_type"]) != ("timed_out", "HEARTBEAT"):
            return [amiss(record, "timed out, by its heartbeat timeout")]
        took = record["closed_ms"] - killed_ms
        allowed = KILLED_HEARTBEAT_SECS * 1000 + SLACK_MS
        return [] if 0 < took <= allowed else [f"{took:.0f} ms passed, not at most {allowed}"]


def order(price=3, quantity=4, steps=4, step_ms=STEP_MS):
    return {"price": price, "quantity": quantity, "steps": steps, "step_ms": step_ms}


def completed(record, total):
    """What is wrong with a task that must be completed."""
    if record["state"] != "completed":
        return [amiss(record, "completed")]
    try:
        result = json.loads(record["result"])
    except ValueError:
        result = record["result"]
    return [] if result == {"total": total} else [f"the result of {record['input']} is {result!r}"]


def amiss(record, wanted):
    told = {key: record[key] for key in ("state", "timeout_type", "reason", "details", "heartbeat_count")}
    return f"instead of {wanted}: {told}"


def progress(record):
    """What the worker itself said in its heartbeats."""
    return {beat["details"] for beat in record["heartbeats"] if re.fullmatch(r"step \d+ of \d+", beat["details"] or "")}


def run(folder, processes, checks):
    commands, env = build.commands()
    killed = [("killed", commands["python_pika"], Killed)]
    with_broker("rabbitmq", None, killed, (commands, env), folder, processes, checks)
    # The same workers, unmodified. One that dies is seen at once there, and its task waits for the next.
    port = free_ports(1)[0]
    amqp = f'listen = "127.0.0.1:{port}"'
    env = {**env, "AMQP_URI": f"amqp://guest:guest@127.0.0.1:{port}/%2f"}
    with_broker("endpoint", amqp, [], (commands, env), folder, processes, checks)


def with_broker(broker, amqp, more, workers, folder, processes, checks):
    commands, env = workers
    folder = folder / broker
    folder.mkdir()
    began_with = len(processes)
    sim = start_simulator(folder, processes, DOMAIN)
    routes = [*map(route, commands), *(route(name, KILLED_HEARTBEAT_SECS) for name, *_ in more)]
    start_bridge(folder, processes, sim, "".join(routes), amqp)
    cases = []
    for name, command, kind in [*((name, command, Case) for name, command in commands.items()), *more]:
        worker = Process(f"the worker {name}", [*command, f"worker-{name}"], folder / f"{name}.log", env)
        processes.append(worker)
        cases.append(kind(name, worker, sim))
    began = time.monotonic()
    with ThreadPoolExecutor(len(cases)) as pool:
        try:
            running = {pool.submit(case.run): case for case in cases}
            for done in as_completed(running):
                report(checks, broker, running[done], done.result())
        finally:
            if sys.exc_info()[0]:
                STOPPED.set()  # the pool waits for its threads
    print(f"worked with {broker} for {time.monotonic() - began:.1f} s", flush=True)
    while len(processes) > began_with:
        processes.pop().stop()


def report(checks, broker, case, results):
    for test, problems in results:
        checks.check(f"{broker}::{case.name}::{test}", problems)
    if any(problems for _, problems in results):
        print(f"the last lines of {case.process.name}:\n{last_lines(case.process.log, 40)}")


if __name__ == "__main__":
    run_suite("workers", run)
