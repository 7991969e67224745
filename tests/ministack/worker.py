"""A pika worker that ends each task as its input says. Usage: worker.py QUEUE"""
import json
import os
import sys

import pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
channel.confirm_delivery()
channel.basic_qos(prefetch_count=20)
for delivery, task, body in channel.consume(sys.argv[1]):
    asked = json.loads(body)
    order, attempt = asked["order"], asked["attempt"]
    if order.get("reject"):
        channel.basic_reject(delivery.delivery_tag, requeue=False)
        continue
    ends = {"type": "completed"}
    if attempt < order.get("failures", 0):
        ends = {"type": "failed", "headers": {"error": order["error"]}}
    reply = pika.BasicProperties(correlation_id=task.correlation_id, delivery_mode=2, **ends)
    channel.basic_publish("", task.reply_to, order["text"], reply)
    channel.basic_ack(delivery.delivery_tag)
