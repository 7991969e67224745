"""The demo's unlucky worker: it takes some tasks, says which, and dies without a word. Usage: demo_dying_worker.py QUEUE"""
import os
import sys

import pika

MOST = 5

channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
channel.basic_qos(prefetch_count=MOST)
taken = []
# Yields (None, None, None) when nothing came for a while.
for delivery, task, body in channel.consume(sys.argv[1], inactivity_timeout=0.5):
    if delivery:
        taken.append(task.message_id)
    if len(taken) == MOST or taken and not delivery:
        print(*taken, sep="\n", flush=True)
        os._exit(1)  # as after `kill -9`: nothing is acknowledged, and no connection is closed
