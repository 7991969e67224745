"""After: the same worker, for tasks of SWF and of Step Functions. Usage: after.py QUEUE"""
import json, os, sys
import pika
from charge import Declined, charge

channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
channel.confirm_delivery()  # basic_publish returns when the broker has the reply
channel.basic_qos(prefetch_count=1)  # one task at a time
for delivery, task, body in channel.consume(sys.argv[1]):
    reply = pika.BasicProperties(correlation_id=task.correlation_id, delivery_mode=2)
    try:
        answer = json.dumps(charge(json.loads(body)))
    except Declined as declined:
        reply.type, reply.headers, answer = "failed", {"reason": "declined"}, str(declined)
    channel.basic_publish("", task.reply_to, answer, reply)
    channel.basic_ack(delivery.delivery_tag)  # last: should the worker crash, the task is delivered again
