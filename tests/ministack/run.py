#!/usr/bin/env python3
"""The bridge against ministack, a Step Functions that no one here wrote: boto3 starts executions of state machines,
pika workers do their activities, and the executions' outputs and histories say what came of it.

`make test-ministack` runs it: needs AMQP_URI, a built bridge, and the packages of tests/requirements.txt.

What ministack does otherwise than AWS, and what follows here:
- It enforces neither TimeoutSeconds nor HeartbeatSeconds, and a stopped execution's tasks live on. So a task that is
  lost never times out, and of heartbeats nothing is seen but that it takes them.
- A task that has ended is TaskDoesNotExist to it, not TaskTimedOut.
- It takes any text as an output, and makes a string of what is not JSON, as the bridge does. But its JSON is Python's,
  in which `NaN` is a number: that text tells who made the string.
- A history has TaskScheduled where AWS has ActivityScheduled, and so on.
- A poll is held for 60 s, with no way to shorten it. A bridge that drains would wait for that; here each poll that is
  still open gets a task instead, which must be done as well.
"""
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import CREDENTIALS, ROOT, run_suite, start_bridge  # noqa: E402
from system import Process, answers, free_ports, http, wait_for  # noqa: E402

DEADLINE_SECS = 120
HEARTBEAT_SECS = 3
ROLE = "arn:aws:iam::000000000000:role/ministack"
# Each activity has a route, a queue and a worker of its own: the plain one of the examples, or one that does as told.
WORKERS = {"price": ROOT / "examples/python/worker.py", "answer": ROOT / "tests/ministack/worker.py"}
JSON_TEXTS = ['{"total": 7, "of": ["Größe", null]}', "[1.5, true]", '"a string"', "12"]
OTHER_TEXTS = ["plain words", "", "NaN", "-Infinity", '{"half": ', 'a "quote"\nand a line', "Größe 😀", "12 parcels"]


# --- State machines and their executions --------------------------------------------------------

def task(activity, **fields):
    timeouts = {"TimeoutSeconds": 300, "HeartbeatSeconds": HEARTBEAT_SECS}
    return {"Type": "Task", "Resource": activity, **timeouts, **fields}


def machines(activities):
    """Definitions, by name."""
    price = task(activities["price"])
    # The worker's input: the state's, and how many attempts of this task there were before.
    answer = task(activities["answer"], Parameters={"attempt.$": "$$.State.RetryCount", "order.$": "$"})
    end = {"End": True}

    def one(state):
        return {"StartAt": "Only", "States": {"Only": {**state, **end}}}

    def each(state):
        return one({"Type": "Map", "ItemProcessor": one(state)})

    retry = [{"ErrorEquals": ["OutOfStock"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    catch = [{"ErrorEquals": [error], "ResultPath": "$.caught", "Next": "Instead"}
             for error in ("ActivityBridge.DeadLetter", "OutOfStock")]
    return {
        "price": one(price),
        "answer": one(answer),
        "each-price": each(price),
        "each-answer": each(answer),
        "sequence": {"StartAt": "Price", "States": {
            "Price": {**price, "ResultPath": "$.priced", "Next": "Answer"},
            "Answer": {**answer, "ResultPath": "$.answered", "Next": "Again"},
            "Again": {**price, "InputPath": "$.more", "ResultPath": "$.again", **end}}},
        "retry": one({**answer, "Retry": retry}),
        "catch": {"StartAt": "Answer", "States": {
            "Answer": {**answer, "Catch": catch, **end},
            "Instead": {**price, "ResultPath": "$.priced", **end}}},
    }


class Case:
    """An execution: its state machine and input, how many activities it completes and fails, and what comes of it."""

    def __init__(self, machine, order, completes=1, fails=0, **outcome):
        self.machine, self.order, self.completes, self.fails = machine, order, completes, fails
        self.outcome = {"status": "SUCCEEDED", **outcome}
        self.arn = None


def priced(number):
    """An order for the plain worker, and what it must answer."""
    return {"price": number, "quantity": 3}, {"total": 3 * number}


def cases():
    for number in range(30):
        order, total = priced(number)
        yield Case("price", order, output=total)
    for number in range(15):
        (order, total), (more, again) = priced(number), priced(1000 + number)
        order = {**order, "text": f"answer {number}", "more": more}
        yield Case("sequence", order, completes=3,
                   output={**order, "priced": total, "answered": f"answer {number}", "again": again})
    for number in range(5):
        orders, totals = zip(*(priced(10 * number + item) for item in range(6)))
        yield Case("each-price", orders, completes=6, output=list(totals))
    for text in JSON_TEXTS:
        yield Case("answer", {"text": text}, output=json.loads(text))
    for text in OTHER_TEXTS:
        yield Case("answer", {"text": text}, output=text)
    for number in range(5):
        order, total = priced(number)
        failing = {**order, "text": f"there is none of {number}", "failures": 1, "error": "OutOfStock"}
        yield Case("retry", failing, fails=1, output=failing["text"])
        caught = {"Error": "OutOfStock", "Cause": failing["text"]}
        yield Case("catch", failing, fails=1, output={**failing, "caught": caught, "priced": total})
        rejected = {**order, "reject": True}
        caught = {"Error": "ActivityBridge.DeadLetter", "Cause": "rejected by a worker: queue ministack-answer"}
        yield Case("catch", rejected, fails=1, output={**rejected, "caught": caught, "priced": total})
    for error in ("OutOfStock", "NobodyCatchesThis"):
        order = {"text": "not even later", "failures": 2, "error": error}
        yield Case("retry", order, completes=0, fails=2 if error == "OutOfStock" else 1,
                   status="FAILED", error=error, cause="not even later")


class StateMachines:
    """The state machines in ministack, and the executions of them."""

    def __init__(self, sfn, activities):
        self.sfn, self.arns = sfn, {}
        for name, definition in machines(activities).items():
            self.arns[name] = sfn.create_state_machine(
                name=name, definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]

    def start(self, some):
        for case in some:
            case.arn = self.sfn.start_execution(
                stateMachineArn=self.arns[case.machine], input=json.dumps(case.order))["executionArn"]

    def await_all(self, some, processes):
        """Until all are closed. What is not by the deadline is told by `problems`."""
        running = list(some)

        def closed():
            for process in processes:
                process.check()
            running[:] = [case for case in running if self.describe(case)["status"] == "RUNNING"]
            return not running

        wait_for(closed, DEADLINE_SECS, pause=0.2)

    def describe(self, case):
        return self.sfn.describe_execution(executionArn=case.arn)

    def problems(self, case):
        """What is otherwise than it must be."""
        told = self.describe(case)
        found = {key: told.get(key) for key in case.outcome}
        if found.get("output") is not None:
            found["output"] = json.loads(found["output"])
        problems = [] if found == case.outcome else [f"{found} instead of {case.outcome}"]
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=case.arn)
        events = Counter(event["type"] for page in pages for event in page["events"])
        wanted = {"TaskScheduled": case.completes + case.fails,
                  "TaskSucceeded": case.completes, "TaskFailed": case.fails}
        found = {kind: events[kind] for kind in wanted}
        if found != wanted:
            problems.append(f"its history has {found} instead of {wanted}")
        return [f"{case.machine} of {json.dumps(case.order)[:100]}: {problem}" for problem in problems]


# --- The parts ----------------------------------------------------------------------------------

def start_ministack(folder, processes):
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    # By itself it listens on all addresses, and for MQTT on another port too, which BIND_HOST does not change.
    env = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0",
           "TMPDIR": str(folder)}
    ministack = Process("ministack", [sys.executable, "-m", "ministack"], folder / "ministack.log", env)
    processes.append(ministack)
    sfn = boto3.client("stepfunctions", endpoint_url=url, region_name=CREDENTIALS["AWS_REGION"],
                       aws_access_key_id="test", aws_secret_access_key="test", config=Config(proxies={}))

    def up():
        ministack.check()
        try:
            sfn.list_activities()
            return True
        except (BotoCoreError, ClientError):
            return False

    if not wait_for(up, DEADLINE_SECS):
        raise ministack.failure("ministack did not become ready")
    return sfn, url


def route(name, activity):
    return f"""
[[routes]]
name = "{name}"
queue = "ministack-{name}"
poll_without_consumers = true
[routes.step_functions]
activity_arn = "{activity}"
[routes.heartbeat]
timeout_secs = {HEARTBEAT_SECS}
"""


def measured(bridge, metric, **labels):
    """The sum of a metric of the bridge over whatever these labels leave open."""
    text = http(f"{bridge.admin}/metrics")
    samples = re.findall(rf"^activity_bridge_{metric}\{{(.*)\}} (\d+)$", text, re.MULTILINE)
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(int(value) for told, value in samples if all(pair in told for pair in wanted))


# --- The checks ---------------------------------------------------------------------------------

def heartbeats(bridge):
    """None works yet, so the tasks in the queues are kept alive by the bridge."""
    def heard(name):
        return measured(bridge, "heartbeats_total", route=name, outcome="accepted") > 0

    return [f"no heartbeat of a task of {name} was accepted" for name in WORKERS
            if not wait_for(lambda name=name: heard(name), DEADLINE_SECS)]


def settlements(bridge, some):
    """ministack forgets a task that has ended, so a second settlement would be one of a task that is gone."""
    wanted = {"completed": sum(case.completes for case in some), "failed": sum(case.fails for case in some)}

    def accepted():
        return {kind: measured(bridge, "settlements_total", kind=kind, outcome="accepted") for kind in wanted}

    wait_for(lambda: accepted() == wanted, DEADLINE_SECS)  # an execution may be closed before the bridge has read the answer
    problems = [] if accepted() == wanted else [f"accepted were {accepted()} instead of {wanted}"]
    others = measured(bridge, "settlements_total") - sum(wanted.values())
    return problems + ([f"{others} were not accepted"] if others else [])


def drain(bridge, executions):
    """Shuts the bridge down while it holds polls, and gives each of them a task. Returns these executions, and the
    problems of the bridge."""
    bridge.child.terminate()
    if not wait_for(lambda: answers(f"{bridge.admin}/readyz")[0] == 503, DEADLINE_SECS):
        return [], ["it is still ready"]
    held = {name: measured(bridge, "open_polls", route=name) for name in WORKERS}
    print(f"open polls at the end: {held}", flush=True)
    orders, totals = zip(*(priced(number) for number in range(held["price"])))
    texts = [f"late {number}" for number in range(held["answer"])]
    late = [Case("each-price", orders, completes=len(orders), output=list(totals)),
            Case("each-answer", [{"text": text} for text in texts], completes=len(texts), output=texts)]
    executions.start(late)
    ended = wait_for(lambda: bridge.child.poll() is not None, DEADLINE_SECS)
    drained = ended and bridge.child.returncode == 0
    return late, [] if drained else [str(bridge.failure("it did not end with code 0"))]


def run(folder, processes, checks):
    sfn, url = start_ministack(folder, processes)
    activities = {name: sfn.create_activity(name=name)["activityArn"] for name in WORKERS}
    executions, some = StateMachines(sfn, activities), list(cases())
    bridge = start_bridge(folder, processes, url, "".join(route(*each) for each in activities.items()))
    began = time.monotonic()
    executions.start(some)
    checks.check("the_bridge_keeps_waiting_tasks_alive", heartbeats(bridge))
    for name, program in WORKERS.items():
        worker = [sys.executable, program, f"ministack-{name}"]
        processes.append(Process(f"the worker of {name}", worker, folder / f"{name}.log"))
    executions.await_all(some, processes)
    print(f"{len(some)} executions in {time.monotonic() - began:.1f} s", flush=True)

    for machine in dict.fromkeys(case.machine for case in some):
        of_it = [case for case in some if case.machine == machine]
        checks.check(f"all_{len(of_it)}_executions_of_{machine}_came_out_as_they_must",
                     [problem for case in of_it for problem in executions.problems(case)])
    completed = sum(case.completes for case in some)
    checks.check(f"all_{completed}_activities_were_completed_and_each_attempt_settled_once", settlements(bridge, some))
    late, problems = drain(bridge, executions)
    checks.check("the_bridge_drained", problems)
    checks.check("what_open_polls_brought_meanwhile_was_done",
                 [problem for case in late for problem in executions.problems(case)])


if __name__ == "__main__":
    run_suite("ministack", run)
