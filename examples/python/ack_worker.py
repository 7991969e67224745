"""A worker that only acknowledges. Where the bridge is the broker, this completes the task. Usage: ack_worker.py QUEUE"""
import os, sys, pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
for delivery, task, body in channel.consume(sys.argv[1]):
    print(task.message_id, body.decode(), flush=True)  # the work
    channel.basic_ack(delivery.delivery_tag)  # last: should the worker crash, the task is delivered again
