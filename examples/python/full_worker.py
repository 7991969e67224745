"""A worker that uses the whole protocol, with pika. Usage: full_worker.py QUEUE"""
import json
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"]))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish returns once the broker has the reply
channel.basic_qos(prefetch_count=1)


def reply(task, kind, body="", **headers):
    properties = pika.BasicProperties(
        correlation_id=task.correlation_id, type=kind, headers=headers, delivery_mode=2)
    channel.basic_publish("", task.reply_to, body, properties)


def work(task, order, cancels):
    """Works step by step, and replies how it ended."""
    if order["quantity"] < 0:
        raise ValueError("the quantity is negative")
    for step in range(1, order["steps"] + 1):
        connection.sleep(order["step_ms"] / 1000)  # unlike time.sleep, it goes on answering the broker
        reply(task, "heartbeat", f"step {step} of {order['steps']}")
        asked, cancel, _ = channel.basic_get(cancels, auto_ack=True)
        if asked:
            if cancel.headers["reason"] == "cancel-requested":
                reply(task, "canceled", f"after step {step}")
            return  # "gone": nobody waits for an answer
    reply(task, "completed", json.dumps({"total": order["price"] * order["quantity"]}))


for delivery, task, body in channel.consume(sys.argv[1]):
    # Bound before `started`, which brings a cancel that was asked for earlier.
    cancels = channel.queue_declare("", exclusive=True, auto_delete=True).method.queue
    channel.queue_bind(cancels, "activity-bridge.control", task.correlation_id)
    reply(task, "started")
    try:
        work(task, json.loads(body), cancels)
    except (KeyError, TypeError, ValueError) as error:
        reply(task, "failed", repr(error), reason="bad-order")
    channel.queue_delete(cancels)
    channel.basic_ack(delivery.delivery_tag)  # last: should the worker crash, the task is delivered again
