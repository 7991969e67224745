#!/usr/bin/env python3
"""What the guides tell their readers to do, done: the workers of docs/migrating.md, before and after, on the simulator; with the AWS CLI the
commands of docs/getting-started.md on moto, and those of the README on ministack. The bridge is the broker.

`make test-guides` runs it: needs a built bridge and simulator, and the packages of tests/requirements.txt and tests/guides/requirements.txt.
"""
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pages import DEADLINE_SECS, Shell, steps  # noqa: E402
from parts import CREDENTIALS, ROOT, run_suite, start_bridge, start_simulator  # noqa: E402
from system import Failure, Process, answers, bridge_environment, free_ports, http, wait_for  # noqa: E402


# --- docs/migrating.md --------------------------------------------------------------------------

DOMAIN, ARN = "shop", "arn:aws:states:eu-west-1:123456789012:activity:"
ORDERS = [{"amount": 5}, {"amount": 700}, {"amount": 20}]
STATES = ["completed", "failed", "completed"]
ROUTES = f"""
[[routes]]
name = "charges"
queue = "charges"
swf = {{ domain = "{DOMAIN}", task_list = "after" }}
[[routes]]
name = "step-functions-charges"
queue = "charges"
start_to_close_secs = 600
heartbeat = {{ timeout_secs = 60 }}
step_functions = {{ activity_arn = "{ARN}after" }}
"""


def outcomes(sim, task_list):
    """How the tasks of a task list, or of an activity, ended: once all of them have, or when the time is up."""
    def records():
        return [each for each in json.loads(http(f"{sim}/_sim/tasks")) if each["task_list"] == task_list]

    wait_for(lambda: all(record["closed_ms"] for record in records()), DEADLINE_SECS)
    return [{key: record[key] for key in ("input", "state", "result", "reason", "details")} for record in records()]


def migrating(folder, processes, checks):
    folder.mkdir()
    sim = start_simulator(folder, processes, DOMAIN)
    sources = {"swf": (DOMAIN, ""), "step_functions": ("", ARN)}
    for domain, prefix in sources.values():
        for name in "before", "after":
            if not domain:
                http(f"{sim}/_sim/activities", {"name": name})
            http(f"{sim}/_sim/schedule", [
                {"domain": domain, "task_list": prefix + name, "input": json.dumps(order),
                 "timeouts": {"start_to_close": 600, "heartbeat": 60}} for order in ORDERS])
    port = free_ports(1)[0]
    start_bridge(folder, processes, sim, ROUTES, f'listen = "127.0.0.1:{port}"')
    env = {**bridge_environment(sim), "AWS_DEFAULT_REGION": CREDENTIALS["AWS_REGION"],
           "AMQP_URI": f"amqp://127.0.0.1:{port}"}
    for name, *arguments in (("before_swf", DOMAIN, "before"), ("before_step_functions", f"{ARN}before"), ("after", "charges")):
        command = [sys.executable, ROOT / f"examples/migrating/{name}.py", *arguments]
        processes.append(Process(f"the worker {name}", command, folder / f"{name}.log", env))
    for source, (_, prefix) in sources.items():
        before, after = outcomes(sim, f"{prefix}before"), outcomes(sim, f"{prefix}after")
        problems = [f"{one} before, {other} after" for one, other in zip(before, after, strict=True) if one != other]
        if [each["state"] for each in before] != STATES:
            problems.append(f"before: {before}")
        checks.check(f"a_migrated_worker_ends_tasks_of_{source}_as_it_did_before", problems)


# --- docs/getting-started.md and the README -----------------------------------------------------

RESULT = '{"total": 12}'


def start_aws(name, command, folder, processes, env=None):
    """A server that answers as AWS; its address."""
    port = free_ports(1)[0]
    server = Process(name, [sys.executable, "-m", *(str(port) if word == "PORT" else word for word in command)], folder / f"{name}.log",
                     {**os.environ, **(env or {}), "GATEWAY_PORT": str(port)})
    processes.append(server)
    url = f"http://127.0.0.1:{port}"

    def up():
        server.check()
        try:
            return answers(url)
        except OSError:
            return None

    if not wait_for(up, DEADLINE_SECS):
        raise server.failure(f"{name} did not become ready")
    return url


def until_the_worker_works(shell, numbered, bridge, worker):
    """The steps up to the one in which the bridge starts, and the one in which the worker does."""
    for number in range(2, bridge):
        printed = shell.run(numbered[number])
    shell.run(numbered[bridge])
    shell.says("waiting for a consumer on the queue")
    shell.run(numbered[worker])
    shell.says("INFO polling ")
    return printed


def check(checks, page, problems):
    for what, found in problems.items():
        checks.check(f"the_commands_of_{page}_{what}", found)


def on_swf(folder, processes, checks):
    url = start_aws("moto", ["moto.server", "-H", "127.0.0.1", "-p", "PORT"], folder, processes)
    shell = Shell(folder / "getting-started", url)
    processes.append(shell)
    numbered, (role, clean_up, clean_up_role) = steps("docs/getting-started.md")
    if sorted(numbered) != list(range(1, 12)):
        raise Failure(f"the steps are {sorted(numbered)}")
    checked = until_the_worker_works(shell, numbered, bridge=6, worker=7)
    shell.run(numbered[8])
    shell.run(numbered[9])
    total = shell.repeat(numbered[10], RESULT.__eq__)
    closed = shell.run(numbered[11])
    # A reader may skip the role, or make it later.
    shell.run(clean_up)
    left = shell.left()
    shell.run(role)
    policy = shell.run("aws iam get-role-policy --role-name activity-bridge --policy-name activity-bridge --query PolicyDocument")
    policy = json.dumps(json.loads(policy))
    wanted = ["arn:aws:swf:eu-west-1:123456789012:/domain/first-task", '"swf:taskList.name": ["totals"]']
    shell.run(clean_up_role)
    check(checks, "getting_started", {
        "check_the_bridge": [] if "reached" in checked and "FAIL" not in checked else [checked],
        "show_the_result_of_the_task": [] if total == RESULT else [total],
        "close_the_workflow": [] if closed.endswith("COMPLETED") else [closed],
        "make_a_role": [f"no {each} in {policy}" for each in wanted if each not in policy],
        "leave_nothing_behind": left + shell.left()})


def on_step_functions(folder, processes, checks):
    # By itself it listens on all addresses, and for MQTT on another port too.
    env = {"BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "TMPDIR": str(folder)}
    url = start_aws("ministack", ["ministack"], folder, processes, env)
    shell = Shell(folder / "readme", url)
    processes.append(shell)
    numbered, others = steps("README.md")
    [clean_up] = [block for block in others if "kill $BRIDGE" in block]
    if sorted(numbered) != list(range(1, 10)):
        raise Failure(f"the steps are {sorted(numbered)}")
    until_the_worker_works(shell, numbered, bridge=6, worker=7)
    shell.run(numbered[8])
    done = shell.repeat(numbered[9], lambda printed: "RUNNING" not in printed)
    # ministack holds the open polls for a minute. A second signal ends the bridge at once.
    shell.run("kill $BRIDGE")
    shell.says("shutting down")
    shell.run(clean_up)
    check(checks, "the_readme", {
        "show_the_result_of_the_task": [] if done.split("\t") == ["SUCCEEDED", RESULT] else [done],
        "leave_nothing_behind": shell.left()})


def run(folder, processes, checks):
    migrating(folder / "migrating", processes, checks)
    on_swf(folder, processes, checks)
    on_step_functions(folder, processes, checks)


if __name__ == "__main__":
    run_suite("guides", run, needs=())
