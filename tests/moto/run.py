#!/usr/bin/env python3
"""The bridge against moto, an SWF that no one here wrote: a boto3 decider schedules activities, the plain pika
worker does them, and the workflows' histories say what came of it.

`make test-moto` runs it: needs AMQP_URI, a built bridge, and the packages of tests/requirements.txt.
moto answers an empty poll after a second, and anything about a failed task with 500: completions only.
"""
import json
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from parts import CREDENTIALS, ROOT, run_suite, start_bridge  # noqa: E402
from system import Failure, Process, free_ports, wait_for  # noqa: E402

EXECUTIONS, ACTIVITIES, PER_DECISION = 10, 24, 8
DEADLINE_SECS = 180
DOMAIN, QUEUE = "shop", "moto-activities"
WORKFLOW = ACTIVITY = {"name": "price", "version": "1"}


def order(execution, number):
    """The input of one activity."""
    return {"price": 100 * execution + number, "quantity": 3}


def total(execution, number):
    """The result that the worker must find for it."""
    return 3 * (100 * execution + number)


# --- The decider --------------------------------------------------------------------------------

def decide(swf, executions, processes):
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
        decisions = next_step(execution, task["events"])
        swf.respond_decision_task_completed(taskToken=task["taskToken"], decisions=decisions)
        if any(decision["decisionType"] == "CompleteWorkflowExecution" for decision in decisions):
            open_runs.discard(task["workflowExecution"]["runId"])
            print(f"workflow order-{execution} is complete", flush=True)


def next_step(execution, events):
    """The decisions, from nothing but the history."""
    scheduled = sum(1 for event in events if event["eventType"] == "ActivityTaskScheduled")
    completed = sum(1 for event in events if event["eventType"] == "ActivityTaskCompleted")
    if completed < scheduled:
        return []
    if scheduled == ACTIVITIES:
        return [{"decisionType": "CompleteWorkflowExecution",
                 "completeWorkflowExecutionDecisionAttributes": {"result": "done"}}]
    return [schedule(execution, number) for number in range(scheduled, min(scheduled + PER_DECISION, ACTIVITIES))]


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


def problems_of(swf, execution, run_id):
    """What the history of a workflow says that it should not, and how many activities it completed."""
    events = history(swf, f"order-{execution}", run_id)
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
    for number in range(ACTIVITIES):
        wanted, found = json.dumps({"total": total(execution, number)}), results.get(f"price-{number}")
        if found != wanted:
            problems.append(f"price-{number}: the result is {found!r} instead of {wanted!r}")
    if events[-1]["eventType"] != "WorkflowExecutionCompleted":
        problems.append(f"its last event is {events[-1]['eventType']}")
    info = swf.describe_workflow_execution(
        domain=DOMAIN, execution={"workflowId": f"order-{execution}", "runId": run_id})["executionInfo"]
    if info.get("closeStatus") != "COMPLETED":
        problems.append(f"its close status is {info.get('closeStatus')}")
    return problems, len(results)


def run(folder, processes, checks):
    swf, moto_url = start_moto(folder, processes)
    executions = {}
    for execution in range(EXECUTIONS):
        executions[execution] = swf.start_workflow_execution(
            domain=DOMAIN, workflowId=f"order-{execution}", workflowType=WORKFLOW, taskList={"name": "deciders"},
            executionStartToCloseTimeout="3600", taskStartToCloseTimeout="300", childPolicy="TERMINATE")["runId"]
    bridge = start_bridge(folder, processes, moto_url, ROUTE)
    worker = [sys.executable, ROOT / "examples/python/worker.py", QUEUE]
    processes.append(Process("the worker", worker, folder / "worker.log"))

    began = time.monotonic()
    try:
        decide(swf, executions, processes)
        problems = []
    except Failure as failure:
        problems = [str(failure)]
    print(f"decided for {time.monotonic() - began:.1f} s", flush=True)

    checks.check("the_decider_closed_all_workflows", problems)
    completed = 0
    for execution, run_id in executions.items():
        problems, done = problems_of(swf, execution, run_id)
        checks.check(f"workflow_{execution}_completed_its_{ACTIVITIES}_activities", problems)
        completed += done
    wanted = EXECUTIONS * ACTIVITIES
    checks.check(f"all_{wanted}_activities_completed",
                 [] if completed == wanted else [f"{completed} were completed"])
    drained = bridge.stop(60)
    checks.check("the_bridge_drained", [] if drained else [str(bridge.failure("it did not end with code 0"))])


if __name__ == "__main__":
    run_suite("moto", run)
