#!/usr/bin/env python3
"""The bridge against moto, an SWF that no one here wrote: a boto3 decider schedules activities, a plain pika worker does
them, and the workflows' histories say what came of it. First with RabbitMQ and the worker that replies, then with the
bridge as the broker and the worker that only acknowledges, of which one is killed in the middle.

`make test-moto` runs it: needs AMQP_URI, a built bridge, and the packages of tests/requirements.txt.
moto answers an empty poll after a second, and anything about a failed task with 500: completions only.
"""
import json
import os
import sys
import threading
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import CREDENTIALS, ROOT, run_suite, start_bridge  # noqa: E402
from system import Failure, Process, free_ports, wait_for  # noqa: E402

DEADLINE_SECS = 180
DOMAIN, QUEUE = "shop", "moto-activities"
# A worker that is killed gives its task to another within this time.
TAKEN_OVER_SECS = 1
WORKFLOW = ACTIVITY = {"name": "price", "version": "1"}


class Plan:
    """How many activities there are, and what their results must be."""

    def __init__(self, name, executions, activities, per_decision, result):
        self.name, self.executions, self.activities = name, executions, activities
        self.per_decision, self.result = per_decision, result

    def workflow_id(self, execution):
        return f"{self.name}-{execution}"


REPLYING = Plan("order", 10, 24, 8, lambda execution, number: json.dumps({"total": total(execution, number)}))
ACKNOWLEDGING = Plan("ack", 20, 50, 25, lambda execution, number: None)


def order(execution, number):
    """The input of one activity."""
    return {"price": 100 * execution + number, "quantity": 3}


def total(execution, number):
    """The result that the worker must find for it."""
    return 3 * (100 * execution + number)


# --- The decider --------------------------------------------------------------------------------

def decide(swf, plan, executions, processes):
    """Decides until all executions are closed: batches of activities, the next when one is done, then the end."""
    deadline = time.monotonic() + DEADLINE_SECS
    open_runs = set(executions.values())
    while open_runs:
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            raise Failure(f"{len(open_runs)} of {len(executions)} workflows are still open after {DEADLINE_SECS} s")
        task = swf.poll_for_decision_task(domain=DOMAIN, taskList={"name": "deciders"})
        if not task.get("taskToken"):
            continue
        execution = int(task["workflowExecution"]["workflowId"].rpartition("-")[2])
        decisions = next_step(plan, execution, task["events"])
        swf.respond_decision_task_completed(taskToken=task["taskToken"], decisions=decisions)
        if any(decision["decisionType"] == "CompleteWorkflowExecution" for decision in decisions):
            open_runs.discard(task["workflowExecution"]["runId"])
            print(f"workflow {plan.workflow_id(execution)} is complete", flush=True)


def next_step(plan, execution, events):
    """The decisions, from nothing but the history."""
    scheduled = sum(1 for event in events if event["eventType"] == "ActivityTaskScheduled")
    completed = sum(1 for event in events if event["eventType"] == "ActivityTaskCompleted")
    if completed < scheduled:
        return []
    if scheduled == plan.activities:
        return [{"decisionType": "CompleteWorkflowExecution",
                 "completeWorkflowExecutionDecisionAttributes": {"result": "done"}}]
    return [schedule(execution, number) for number in range(scheduled, min(scheduled + plan.per_decision, plan.activities))]


def schedule(execution, number):
    return {"decisionType": "ScheduleActivityTask", "scheduleActivityTaskDecisionAttributes": {
        "activityId": f"price-{number}",
        "activityType": ACTIVITY,
        "taskList": {"name": "prices"},
        "input": json.dumps(order(execution, number)),
        "scheduleToStartTimeout": "NONE", "scheduleToCloseTimeout": "NONE",
        "startToCloseTimeout": "NONE", "heartbeatTimeout": "NONE",
    }}


# --- The parts ----------------------------------------------------------------------------------

def start_moto(folder, processes):
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    moto = Process("moto", [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port], folder / "moto.log")
    processes.append(moto)
    swf = boto3.client("swf", endpoint_url=url, region_name=CREDENTIALS["AWS_REGION"],
                       aws_access_key_id="test", aws_secret_access_key="test", config=Config(proxies={}))

    def up():
        moto.check()
        try:
            swf.list_domains(registrationStatus="REGISTERED")
            return True
        except (BotoCoreError, ClientError):
            return False

    if not wait_for(up, 30):
        raise moto.failure("moto did not become ready")
    swf.register_domain(name=DOMAIN, workflowExecutionRetentionPeriodInDays="1")
    swf.register_workflow_type(domain=DOMAIN, **WORKFLOW)
    swf.register_activity_type(domain=DOMAIN, **ACTIVITY)
    return swf, url


# One poller: moto does not lock between choosing a task and handing it out, so two polls at once might get the same one.
ROUTE = f"""
[[routes]]
name = "prices"
queue = "{QUEUE}"
pollers = {{ min = 1, max = 1 }}
[routes.swf]
domain = "{DOMAIN}"
task_list = "prices"
"""


# --- The checks ---------------------------------------------------------------------------------

def history(swf, workflow_id, run_id):
    pages = swf.get_paginator("get_workflow_execution_history").paginate(
        domain=DOMAIN, execution={"workflowId": workflow_id, "runId": run_id})
    return [event for page in pages for event in page["events"]]


def problems_of(swf, plan, execution, run_id):
    """What the history of a workflow says that it should not, and how many activities it completed."""
    events = history(swf, plan.workflow_id(execution), run_id)
    names, results, problems = {}, {}, []
    for event in events:
        kind = event["eventType"]
        if kind == "ActivityTaskScheduled":
            names[event["eventId"]] = event["activityTaskScheduledEventAttributes"]["activityId"]
        elif kind == "ActivityTaskCompleted":
            attributes = event["activityTaskCompletedEventAttributes"]
            name = names[attributes["scheduledEventId"]]
            if name in results:
                problems.append(f"{name} was completed twice")
            results[name] = attributes.get("result")
        elif kind.startswith("ActivityTask") and kind != "ActivityTaskStarted":
            problems.append(f"there is an event {kind}")
    for number in range(plan.activities):
        name, wanted = f"price-{number}", plan.result(execution, number)
        found = results.get(name, "missing")
        if (found or None) != wanted:
            problems.append(f"price-{number}: the result is {found!r} instead of {wanted!r}")
    if events[-1]["eventType"] != "WorkflowExecutionCompleted":
        problems.append(f"its last event is {events[-1]['eventType']}")
    info = swf.describe_workflow_execution(
        domain=DOMAIN, execution={"workflowId": plan.workflow_id(execution), "runId": run_id})["executionInfo"]
    if info.get("closeStatus") != "COMPLETED":
        problems.append(f"its close status is {info.get('closeStatus')}")
    return problems, len(results)


def start_executions(swf, plan):
    return {execution: swf.start_workflow_execution(
        domain=DOMAIN, workflowId=plan.workflow_id(execution), workflowType=WORKFLOW, taskList={"name": "deciders"},
        executionStartToCloseTimeout="3600", taskStartToCloseTimeout="300", childPolicy="TERMINATE")["runId"]
        for execution in range(plan.executions)}


def decide_and_check(swf, plan, executions, processes, checks):
    began = time.monotonic()
    try:
        decide(swf, plan, executions, processes)
        problems = []
    except Failure as failure:
        problems = [str(failure)]
    print(f"decided for {time.monotonic() - began:.1f} s", flush=True)

    checks.check(f"the_decider_closed_all_workflows_of_{plan.name}", problems)
    completed = 0
    for execution, run_id in executions.items():
        problems, done = problems_of(swf, plan, execution, run_id)
        checks.check(f"workflow_{plan.workflow_id(execution)}_completed_its_{plan.activities}_activities", problems)
        completed += done
    wanted = plan.executions * plan.activities
    checks.check(f"all_{wanted}_activities_of_{plan.name}_completed",
                 [] if completed == wanted else [f"{completed} were completed"])


def check_drained(bridge, name, checks):
    drained = bridge.stop(60)
    checks.check(f"the_bridge_of_{name}_drained",
                 [] if drained else [str(bridge.failure("it did not end with code 0"))])


def with_rabbitmq(folder, processes, checks, swf, moto_url):
    executions = start_executions(swf, REPLYING)
    bridge = start_bridge(folder, processes, moto_url, ROUTE)
    worker = Process("the worker", [sys.executable, ROOT / "examples/python/worker.py", QUEUE], folder / "worker.log")
    processes.append(worker)
    decide_and_check(swf, REPLYING, executions, processes, checks)
    check_drained(bridge, REPLYING.name, checks)
    worker.stop()
    for ended in (bridge, worker):
        processes.remove(ended)


# --- The bridge as the broker -------------------------------------------------------------------

# It does its first tasks at once, and hangs in the next one until it is killed.
HANGS = """
import os, sys, time, pika
channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
for count, (delivery, task, body) in enumerate(channel.consume(sys.argv[1])):
    if count == 20:
        print("hangs", task.message_id, flush=True)
        time.sleep(600)
    channel.basic_ack(delivery.delivery_tag)
"""


def kill_the_hanging(worker, log, other, problems):
    """Kills the worker when it hangs, and waits until the other one has its task."""
    def hangs():
        found = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("hangs ")]
        return found and found[0]

    task = hangs() if wait_for(hangs, DEADLINE_SECS) else None
    if not task:
        problems.append("the worker never came to the task in which it hangs")
        return
    worker.child.kill()
    began = time.monotonic()
    if not wait_for(lambda: task in other.read_text(), 30):
        problems.append(f"nobody got task {task}")
        return
    took = time.monotonic() - began
    print(f"the task of the killed worker was with another after {took:.2f} s", flush=True)
    if took > TAKEN_OVER_SECS:
        problems.append(f"another worker got it after {took:.2f} s")


def with_the_endpoint(folder, processes, checks, swf, moto_url):
    executions = start_executions(swf, ACKNOWLEDGING)
    port = free_ports(1)[0]
    bridge = start_bridge(folder, processes, moto_url, ROUTE, f'listen = "127.0.0.1:{port}"')
    env = {**os.environ, "AMQP_URI": f"amqp://127.0.0.1:{port}"}
    script = folder / "hangs.py"
    script.write_text(HANGS)
    logs = folder / "hanging.log", folder / "acknowledging.log"
    hanging = Process("the worker that hangs", [sys.executable, script, QUEUE], logs[0], env)
    worker = [sys.executable, ROOT / "examples/python/ack_worker.py", QUEUE]
    processes.append(Process("the worker that acknowledges", worker, logs[1], env))
    problems = []
    killing = threading.Thread(target=kill_the_hanging, args=(hanging, *logs, problems))
    killing.start()
    try:
        decide_and_check(swf, ACKNOWLEDGING, executions, processes, checks)
        killing.join()
    finally:
        hanging.stop()
    checks.check("another_worker_gets_the_task_of_one_that_was_killed_within_a_second", problems)
    check_drained(bridge, ACKNOWLEDGING.name, checks)


def run(folder, processes, checks):
    swf, moto_url = start_moto(folder, processes)
    with_rabbitmq(folder, processes, checks, swf, moto_url)
    endpoint = folder / "endpoint"
    endpoint.mkdir()
    with_the_endpoint(endpoint, processes, checks, swf, moto_url)


if __name__ == "__main__":
    run_suite("moto", run)
