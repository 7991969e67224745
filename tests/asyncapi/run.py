#!/usr/bin/env python3
"""docs/asyncapi.yaml is a valid document, and what passes between the real bridge and a worker is as it says.

`make test-asyncapi` runs it: needs AMQP_URI, NODE and NODE_PATH, the built bridge and simulator, and the packages of
tests/requirements.txt.
"""
import os
import sys
from pathlib import Path

import pika
from jsonschema import Draft7Validator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from document import YAML, Message, parse, problems_in, problems_of, undetected  # noqa: E402
from hand import WAIT_SECS, Hand  # noqa: E402
from parts import run_suite, start_bridge, start_simulator  # noqa: E402
from system import Failure, http, wait_for  # noqa: E402

DOMAIN = "shop"
# The routes, and the settings in which they differ: nothing that is optional in a task; all of it; heartbeats that are
# relayed within a second.
PLAIN, FULL, BEATING = "asyncapi-plain", "asyncapi-full", "asyncapi-beating"
STATES, STATES_FULL = "asyncapi-states", "asyncapi-states-full"
ALL = "start_to_close_secs = 300\nexpire_at_deadline = true\npriority = 5\nheartbeat = {{ timeout_secs = {} }}"
SETTINGS = {PLAIN: "", FULL: ALL.format(60), BEATING: "heartbeat = { timeout_secs = 3 }", STATES: "", STATES_FULL: ALL.format(3)}
ARNS = {route: f"arn:aws:states:eu-west-1:123456789012:activity:{route}" for route in (STATES, STATES_FULL)}
SOURCES = {
    **{route: {"domain": DOMAIN, "task_list": route, "activity_type": {"name": "charge", "version": "1"}}
       for route in (PLAIN, FULL, BEATING)},
    **{route: {"domain": "", "task_list": arn} for route, arn in ARNS.items()},
}
FROM_WORKERS = ("completed", "failed", "canceled", "started", "heartbeat")
# The extensions that say what a worker's message leads to, each with a route to try it on.
EFFECTS = {"x-swf-effect": BEATING, "x-step-functions-effect": STATES_FULL}
ENDS = {"RespondActivityTaskCompleted": "completed", "RespondActivityTaskFailed": "failed",
        "RespondActivityTaskCanceled": "canceled", "SendTaskSuccess": "completed", "SendTaskFailure": "failed"}
BEATS = ("RecordActivityTaskHeartbeat", "SendTaskHeartbeat")
# What Step Functions calls the same things, which the simulator's records call as SWF does.
WORDS = {"result": "output", "reason": "error", "details": "cause"}

# Of headers and of properties, what the tasks of the full routes have and those of the plain ones have not.
OPTIONAL = ({"deadline-ms", "heartbeat-timeout-secs"}, {"expiration", "priority"})



def source(route):
    if route in ARNS:
        return f'step_functions = {{ activity_arn = "{ARNS[route]}" }}'
    return f'swf = {{ domain = "{DOMAIN}", task_list = "{route}" }}'


ROUTES = "".join(f"""
[[routes]]
name = "{route}"
queue = "{route}"
poll_without_consumers = true
{source(route)}
{settings}
""" for route, settings in SETTINGS.items())

# Each makes the document wrong in another way: against the schema, a binding's schema, and a rule of the parser's own.
BREAKS = {
    "an_unknown_action": ("action: receive", "action: receives"),
    "an_unknown_kind_of_channel": ("is: queue", "is: basket"),
    "a_message_that_there_is_not": ("#/components/messages/status'", "#/components/messages/state'"),
    "a_message_of_another_channel": ("- $ref: '#/channels/control/messages/cancel'",
                                     "- $ref: '#/channels/answers/messages/status'"),
}


# --- The document -------------------------------------------------------------------------------

def check_document(checks, folder):
    """The dereferenced document."""
    problems, document = parse(YAML)
    checks.check("the_official_parser_accepts_the_document", problems)
    if document is None:
        raise Failure("without a document there is nothing to hold messages against")
    text = YAML.read_text()
    for name, (before, after) in BREAKS.items():
        broken = folder / "broken.yaml"
        broken.write_text(text.replace(before, after, 1))
        refused = before in text and parse(broken)[1] is None
        checks.check(f"the_parser_refuses_{name}", [] if refused else [f"{after!r} passes"])
    for name, message in document["components"]["messages"].items():
        checks.check(f"the_examples_of_{name}_match_it", problems_of_examples(name, message))
    return document


def problems_of_examples(name, message):
    problems = []
    for schema in (message["headers"], message["payload"], message["x-amqp-properties"]):
        Draft7Validator.check_schema(schema)
    examples = {example["name"]: example for example in message.get("examples", [])}
    for extension in ("x-amqp-examples", *(EFFECTS if name in FROM_WORKERS else [])):
        if not examples or message[extension].keys() != examples.keys():
            problems.append(f"{extension} has not the same names as the examples")
    for example in examples.values():
        found = problems_of(message, Message.of_example(message, example))
        problems += [f"{example['name']}: {problem}" for problem in found]
    return problems


# --- What the bridge sends ----------------------------------------------------------------------

def check_captured(checks, document, hand, captures):
    """Each capture by its name: the channel, the message's name there, and what gets a real one."""
    for name, (channel, kind, capture) in captures.items():
        try:
            message = capture(hand)
        except Failure as failure:
            checks.check(f"{name}_is_as_described", [str(failure)])
            continue
        channel = document["channels"][channel]
        problems = problems_in(channel, kind, message)
        checks.check(f"{name}_is_as_described", problems)
        # Changes to what fails already would show nothing.
        missed = ["the message itself does not match"] if problems else undetected(channel["messages"][kind], message)
        checks.check(f"{name}_changed_anywhere_is_refused", missed)


def task_with(route=PLAIN, **asked):
    def capture(hand):
        activity, task = hand.task(route, **asked)
        properties, headers = task.properties, task.headers
        hand.reply(task, "completed")
        record = hand.record(activity, lambda record: record["state"] == "completed")
        expected = {"route": route, "reply-queue": properties["reply_to"]}
        if route in ARNS:
            expected["activity-arn"] = ARNS[route]
        else:
            expected.update({
                "domain": DOMAIN, "task-list": route, "workflow-id": record["workflow_id"], "run-id": record["run_id"],
                "activity-type": "charge", "activity-version": "1",
            })
        for key, value in expected.items():
            if headers.get(key) != value:
                raise Failure(f"the header {key} is {headers.get(key)!r} instead of {value!r}")
        if properties["message_id"] != properties["correlation_id"]:
            raise Failure("message_id and correlation_id differ")
        for found, optional in zip((headers, properties), OPTIONAL):
            there = optional & found.keys()
            if there != (optional if route in (FULL, STATES_FULL) else set()):
                raise Failure(f"of {sorted(optional)} it has {sorted(there)}")
        if task.body != (asked.get("input") or "").encode():
            raise Failure(f"its body is {task.body!r}")
        return task
    return capture


def gone_task(hand):
    activity, task = hand.task(timeouts={"start_to_close": 0.2})
    hand.record(activity, lambda record: record["state"] == "timed_out")
    return task


def cancel_requested(hand):
    _, task = hand.task(request_cancel=True)
    hand.reply(task, "heartbeat")
    message = hand.about(hand.cancels, task)
    hand.reply(task, "canceled")
    return expecting(message, "reason", "cancel-requested")


def cancel_gone(hand):
    task = gone_task(hand)
    hand.reply(task, "heartbeat")
    return expecting(hand.about(hand.cancels, task), "reason", "gone")


def status_of(kind, expected, task_of=lambda hand: hand.task()[1]):
    """The answer to a sign of life. The first may come before SWF has been asked, so it is repeated."""
    def capture(hand):
        task, answer = task_of(hand), None

        def answered():
            nonlocal answer
            hand.reply(task, kind, reply_to=hand.answers)
            answer = hand.about(hand.answers, task)
            return answer.headers.get("status") == expected

        wait_for(answered, WAIT_SECS)
        hand.reply(task, "completed")
        return expecting(answer, "status", expected)
    return capture


def expecting(message, header, value):
    if message.headers.get(header) != value:
        raise Failure(f"the header {header} is {message.headers.get(header)!r} instead of {value!r}")
    return message


def parked_reply(hand):
    _, task = hand.task()
    properties = {"correlation_id": task.properties["message_id"], "type": "finished", "content_type": "application/json",
                  "reply_to": hand.answers, "priority": 3}
    hand.send("", task.properties["reply_to"], Message({"attempt": 2, "host": "worker-1"}, properties, b'{"total": 42}'))
    parked = hand.about("activity-bridge.parked", task)
    kept = {**properties, "content_encoding": "utf-8", "delivery_mode": 2, "app_id": "activity-bridge"}
    del kept["priority"]
    if parked.properties != kept:
        raise Failure(f"its properties are {parked.properties} instead of {kept}")
    return expecting(expecting(parked, "attempt", 2), "host", "worker-1")


def dead_letter(hand):
    """A task that is rejected fails, and the bridge's copy of the dead letter is as described."""
    _, first = hand.task()
    hand.reply(first, "completed")
    arguments = {"x-match": "all", "reply-queue": first.properties["reply_to"]}
    copies = hand.bound_queue("activity-bridge.dead-letters", "", arguments)
    activity, task = hand.task(ack=False)
    message = hand.about(copies, task)
    record = hand.record(activity, lambda record: record["state"] != "started")
    if record["state"] != "failed" or BEATING not in (record["details"] or ""):
        raise Failure(f"the task is {record['state']}: {record['reason']}, {record['details']}")
    return expecting(message, "x-first-death-reason", "rejected")


def unclaimed_dead_letter(hand):
    """A dead letter of a process that is no longer there."""
    _, task = hand.task()
    hand.reply(task, "completed")
    task.properties.update(message_id="0" * 32, correlation_id="0" * 32, reply_to="activity-bridge.replies.of-the-dead")
    task.headers.update({"reply-queue": task.properties["reply_to"], "activity-id": "left behind"})
    hand.send("", PLAIN, task)
    hand.take(PLAIN, lambda message: message.properties == task.properties, ack=False)
    return hand.about("activity-bridge.parked", task)


CAPTURES = {
    "a_task_with_json": ("tasks", "jsonTask", task_with(input='{"price": 21, "quantity": 2}')),
    "a_task_with_a_text": ("tasks", "textTask", task_with(input="21 × 2")),
    "a_task_without_an_input": ("tasks", "textTask", task_with(input=None)),
    "a_task_with_all_that_is_optional": (
        "tasks", "jsonTask", task_with(FULL, input="42", timeouts={"start_to_close": 300, "heartbeat": 60})),
    "a_task_of_step_functions": ("tasks", "stepFunctionsTask", task_with(STATES, input='{"picture": "cat.png"}')),
    "a_task_of_step_functions_with_all_that_is_optional": (
        "tasks", "stepFunctionsTask", task_with(STATES_FULL, input="[42]", timeouts={"start_to_close": 300, "heartbeat": 3})),
    "the_cancel_of_a_task_that_is_to_be_canceled": ("control", "cancel", cancel_requested),
    "the_cancel_of_a_task_that_is_gone": ("control", "cancel", cancel_gone),
    "the_status_alive": ("answers", "status", status_of("heartbeat", "alive")),
    "the_status_after_started": ("answers", "status", status_of("started", "alive")),
    "the_status_cancel_requested": (
        "answers", "status", status_of("heartbeat", "cancel-requested", lambda hand: hand.task(request_cancel=True)[1])),
    "the_status_gone": ("answers", "status", status_of("heartbeat", "gone", gone_task)),
    "a_parked_reply": ("parked", "parked", parked_reply),
    "a_dead_letter": ("deadLetters", "deadLetter", dead_letter),
    "a_dead_letter_that_nobody_claims": ("parked", "deadLetter", unclaimed_dead_letter),
}


# --- What workers send --------------------------------------------------------------------------

def check_examples(checks, document, hand):
    """Sends every example of every worker's message, to either service and by either way, and looks at what it got."""
    for name in FROM_WORKERS:
        message = document["channels"]["replies"]["messages"][name]
        for example in message["examples"]:
            problems = []
            for extension, route in EFFECTS.items():
                effect = message[extension][example["name"]]
                for exchange in ("", "activity-bridge.replies"):
                    found = problems_of_effect(hand, route, Message.of_example(message, example), effect, exchange)
                    problems += [f"{extension}, through the exchange {exchange!r}: {problem}" for problem in found]
            checks.check(f"the_example_{example['name']}_of_{name}_has_its_effect", problems)


def problems_of_effect(hand, route, message, effect, exchange):
    activity, task = hand.task(route, request_cancel=effect.get("cancelRequested", False))
    message.properties["correlation_id"] = task.properties["correlation_id"]
    hand.send(exchange, task.properties["reply_to"], message)
    if effect["call"] in BEATS:
        wanted = effect.get("details")
        record = hand.record(activity, lambda record: any(beat["details"] == wanted for beat in record["heartbeats"]))
        hand.reply(task, "completed")
        problems = [] if record["state"] == "started" else [f"the task is {record['state']}"]
        beats = [beat["details"] for beat in record["heartbeats"]]
        return problems if wanted in beats else [*problems, f"heartbeats {beats} instead of one with {wanted!r}"]
    record = hand.record(activity, lambda record: record["closed_ms"] is not None)
    expected = {"state": ENDS[effect["call"]], "settle_calls": 1,
                **{key: effect.get(key, effect.get(other)) for key, other in WORDS.items()}}
    return [f"{key} is {record[key]!r} instead of {value!r}" for key, value in expected.items() if record[key] != value]


# --- Exchanges and queues -----------------------------------------------------------------------

def problems_of_topology(document):
    """What is not there, or what the broker refuses to declare as described because it is otherwise."""
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"]))
    problems = []
    for name, described in document["channels"].items():
        binding = described["bindings"]["amqp"]
        thing, arguments = binding[{"queue": "queue", "routingKey": "exchange"}[binding["is"]]], binding.get("x-arguments")
        title = PLAIN if name == "tasks" else thing.get("name")
        if not title:
            continue
        options = {"durable": thing["durable"], "auto_delete": thing["autoDelete"], "arguments": arguments}
        try:
            channel = connection.channel()
            if binding["is"] == "queue":
                channel.queue_declare(title, passive=True)
                channel.queue_declare(title, exclusive=thing["exclusive"], **options)
            else:
                channel.exchange_declare(title, passive=True)
                channel.exchange_declare(title, thing["type"], **options)
        except pika.exceptions.ChannelClosedByBroker as error:
            problems.append(f"{name}: {error.reply_text}")
    connection.close()
    return problems


# --- The run ------------------------------------------------------------------------------------

def run(folder, processes, checks):
    document = check_document(checks, folder)
    sim_url = start_simulator(folder, processes, DOMAIN)
    for activity in ARNS:
        http(f"{sim_url}/_sim/activities", {"name": activity})
    bridge = start_bridge(folder, processes, sim_url, ROUTES)
    hand = Hand(sim_url, SOURCES, BEATING)
    checks.check("the_exchanges_and_queues_are_as_described", problems_of_topology(document))
    check_captured(checks, document, hand, CAPTURES)
    check_examples(checks, document, hand)
    drained = bridge.stop(40)
    checks.check("the_bridge_drained", [] if drained else [str(bridge.failure("it did not end with code 0"))])


if __name__ == "__main__":
    run_suite("asyncapi", run, needs=("AMQP_URI", "NODE", "NODE_PATH"),
              broken=(OSError, pika.exceptions.AMQPError))
