"""The demo's second worker: its tasks fail, are canceled, or take a while and say so meanwhile.

Usage: demo_worker.py QUEUE. What is to happen to a task stands in its input, {"do": "fail" | "cancel" | "wait", ...}.
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
        self.waiting = []  # [delivery tag, task, seconds in all, began at, next heartbeat at]

    def reply(self, task, kind, body="", **headers):
        properties = pika.BasicProperties(
            correlation_id=task.correlation_id, type=kind, headers=headers, delivery_mode=2)
        self.channel.basic_publish("", task.reply_to, body, properties)

    def begin(self, tag, task, order):
        now = time.monotonic()
        if order["do"] == "wait":
            # From here on the bridge leaves it to us to be alive.
            self.reply(task, "started")
            self.waiting.append([tag, task, order["secs"], now, now + BEAT_SECS])
            return
        if order["do"] == "fail":
            self.reply(task, "failed", "the card ends in 0000", reason=order["reason"])
        elif order["do"] == "cancel":
            self.reply(task, "canceled", "stopped half way")
        self.channel.basic_ack(tag)

    def go_on(self):
        """Heartbeats for the tasks that take a while, and results for those that are over."""
        now = time.monotonic()
        for entry in list(self.waiting):
            tag, task, secs, began, beat = entry
            if now >= began + secs:
                self.reply(task, "completed", json.dumps({"waited": secs}))
                self.channel.basic_ack(tag)
                self.waiting.remove(entry)
            elif now >= beat:
                self.reply(task, "heartbeat", f"{100 * (now - began) / secs:.0f} %")
                entry[4] = now + BEAT_SECS


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
