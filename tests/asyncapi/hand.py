"""A worker by hand."""
import json
import os

import pika

from document import Message
from system import Failure, http, wait_for

WAIT_SECS = 20


class Hand:
    """Takes what it asks for, and sends what it is told to. The name of a route is also its queue's."""

    def __init__(self, sim_url, sources, route):
        """What to schedule for the tasks of each route; the route is that of the tasks for which none is named."""
        self.sim_url, self.sources, self.route = sim_url, sources, route
        self.channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
        self.channel.confirm_delivery()
        self.answers = self.bound_queue()
        # Bound to all tasks at once: the bridge may know of a cancel before a worker has the task.
        self.cancels = self.bound_queue("activity-bridge.control", "#")

    def bound_queue(self, exchange=None, key="", arguments=None):
        queue = self.channel.queue_declare("", exclusive=True).method.queue
        if exchange:
            self.channel.queue_bind(queue, exchange, key, arguments)
        return queue

    def take(self, queue, wanted=lambda message: True, ack=True):
        """The next message in a queue that is wanted; the others are dropped."""
        found = None

        def arrived():
            nonlocal found
            delivery, properties, body = self.channel.basic_get(queue)
            if delivery is not None:
                found = Message.of_pika(properties, body)
                if not wanted(found):
                    found = None
                if found is None or ack:
                    self.channel.basic_ack(delivery.delivery_tag)
                else:
                    self.channel.basic_reject(delivery.delivery_tag, requeue=False)
            return found is not None

        if not wait_for(arrived, WAIT_SECS, 0.01):
            raise Failure(f"nothing came to the queue {queue} within {WAIT_SECS} s")
        return found

    def about(self, queue, task):
        """The next message in a queue that is about this task."""
        return self.take(queue, lambda message: message.properties.get("correlation_id") == task.properties["message_id"])

    def task(self, route=None, ack=True, **asked):
        """Schedules a task on a route and takes it. Its activity id, which Step Functions tells nobody, and its message."""
        route = route or self.route
        asked = {**self.sources[route], **asked}
        activity = json.loads(http(f"{self.sim_url}/_sim/schedule", asked))["activity_ids"][0]
        return activity, self.take(route, lambda task: task.headers.get("activity-id", activity) == activity, ack)

    def send(self, exchange, key, message):
        properties = pika.BasicProperties(**message.properties, headers=message.headers or None)
        self.channel.basic_publish(exchange, key, message.body, properties, mandatory=True)

    def reply(self, task, kind, body=b"", exchange="", **properties):
        properties = {"correlation_id": task.properties["correlation_id"], "type": kind, **properties}
        self.send(exchange, task.properties["reply_to"], Message({}, properties, body))

    def record(self, activity, until):
        """What the simulator knows of a task, once it is so."""
        record = None

        def so():
            nonlocal record
            records = json.loads(http(f"{self.sim_url}/_sim/tasks"))
            record = next(one for one in records if one["activity_id"] == activity)
            return until(record)

        wait_for(so, WAIT_SECS)
        return record
