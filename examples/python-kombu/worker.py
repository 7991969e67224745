"""A worker that uses the whole protocol, with kombu. Usage: worker.py QUEUE"""
import json
import os
import sys
import time

import kombu

# publish returns once the broker has the reply
connection = kombu.Connection(os.environ["AMQP_URI"], transport_options={"confirm_publish": True})
channel = connection.channel()
producer = kombu.Producer(channel)
control = kombu.Exchange("activity-bridge.control", no_declare=True)


def reply(task, kind, body="", **headers):
    properties = task.properties
    producer.publish(body, routing_key=properties["reply_to"], correlation_id=properties["correlation_id"], type=kind,
                     headers=headers, content_type="text/plain", content_encoding="utf-8")


def pause(seconds, cancels):
    """Unlike time.sleep, it goes on listening to the broker, and ends when a cancel comes."""
    until = time.monotonic() + seconds
    while not cancels and (left := until - time.monotonic()) > 0:
        try:
            connection.drain_events(timeout=left)
        except TimeoutError:
            return


def work(task, cancels):
    """Works step by step, and replies how it ended."""
    order = json.loads(task.body)
    if order["quantity"] < 0:
        raise ValueError("the quantity is negative")
    for step in range(1, order["steps"] + 1):
        pause(order["step_ms"] / 1000, cancels)
        if cancels:
            if cancels[0].headers["reason"] == "cancel-requested":
                reply(task, "canceled", f"in step {step}")
            return  # "gone": nobody waits for an answer
        reply(task, "heartbeat", f"step {step} of {order['steps']}")
    reply(task, "completed", json.dumps({"total": order["price"] * order["quantity"]}))


def handle(task):
    # Bound before `started`, which brings a cancel that was asked for earlier.
    own = kombu.Queue(exchange=control, routing_key=task.properties["correlation_id"], exclusive=True, auto_delete=True)
    cancels = []
    with kombu.Consumer(channel, [own], on_message=cancels.append, no_ack=True):
        reply(task, "started")
        try:
            work(task, cancels)
        except (KeyError, TypeError, ValueError) as error:
            reply(task, "failed", repr(error), reason="bad-order")
    task.ack()  # last: should the worker crash, the task is delivered again


tasks = []
queue = kombu.Queue(sys.argv[1], no_declare=True)
with kombu.Consumer(channel, [queue], on_message=tasks.append, prefetch_count=1):
    while True:
        connection.drain_events()
        while tasks:
            handle(tasks.pop())
