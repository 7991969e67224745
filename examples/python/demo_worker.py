"""The demo's second worker: its tasks fail, are canceled, or take a while and say so meanwhile.

Usage: demo_worker.py QUEUE. What is to happen to a task stands in its input:
{"do": "fail" | "fail-once" | "cancel" | "wait", ...}. A cancel ends a wait; each `gone` is a line on the standard output.
"""
import json
import os
import sys
import time

import pika

BEAT_SECS = 0.5


class Worker:
    def __init__(self, channel):
        self.channel = channel
        self.waiting = {}  # by task id: [delivery tag, task, seconds in all, began at, next heartbeat at]
        self.failed = set()  # orders that have failed once
        self.cancels = channel.queue_declare("", exclusive=True).method.queue

    def reply(self, task, kind, body="", **headers):
        properties = pika.BasicProperties(
            correlation_id=task.correlation_id, type=kind, headers=headers, delivery_mode=2)
        self.channel.basic_publish("", task.reply_to, body, properties)

    def begin(self, tag, task, order):
        if order["do"] == "wait":
            # Bound before `started`, which brings a cancel that was asked for earlier.
            self.channel.queue_bind(self.cancels, "activity-bridge.control", task.correlation_id)
            # From here on the bridge leaves it to us to be alive.
            self.reply(task, "started")
            now = time.monotonic()
            self.waiting[task.correlation_id] = [tag, task, order["secs"], now, now + BEAT_SECS]
            return
        if order["do"] == "fail":
            self.reply(task, "failed", "the card ends in 0000", reason=order["reason"])
        elif order["do"] == "fail-once":
            self.fail_once(task, order["order"])
        elif order["do"] == "cancel":
            self.reply(task, "canceled", "stopped half way")
        self.channel.basic_ack(tag)

    def fail_once(self, task, order):
        """A state machine that tries again sends a task of its own, with the same input."""
        if order in self.failed:
            self.reply(task, "completed", json.dumps({"order": order}))
        else:
            self.failed.add(order)
            self.reply(task, "failed", "try again", reason="out of stock")

    def go_on(self):
        """Heartbeats for the tasks that take a while, and results for those that are over."""
        self.hear_cancels()
        now = time.monotonic()
        for entry in list(self.waiting.values()):
            _, task, secs, began, beat = entry
            if now >= began + secs:
                self.reply(task, "completed", json.dumps({"waited": secs}))
                self.end(task.correlation_id)
            elif now >= beat:
                self.reply(task, "heartbeat", f"{100 * (now - began) / secs:.0f} %")
                entry[4] = now + BEAT_SECS

    def hear_cancels(self):
        while True:
            found, cancel, reason = self.channel.basic_get(self.cancels, auto_ack=True)
            if not found:
                return
            task_id = cancel.correlation_id
            if task_id not in self.waiting:
                continue  # its end was on its way already
            if reason == b"cancel-requested":
                _, task, *_ = self.waiting[task_id]
                self.reply(task, "canceled", "stopped half way")
            else:
                print(task_id, "gone", flush=True)  # nobody waits for an answer
            self.end(task_id)

    def end(self, task_id):
        tag, *_ = self.waiting.pop(task_id)
        self.channel.queue_unbind(self.cancels, "activity-bridge.control", task_id)
        self.channel.basic_ack(tag)


def main(queue):
    channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=200)
    worker = Worker(channel)
    # Yields (None, None, None) when nothing came for a while.
    for delivery, task, body in channel.consume(queue, inactivity_timeout=0.1):
        if delivery:
            worker.begin(delivery.delivery_tag, task, json.loads(body))
        worker.go_on()


if __name__ == "__main__":
    main(sys.argv[1])
