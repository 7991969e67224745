"""A plain AMQP RPC worker: it answers to `reply_to` and knows nothing of AWS. Usage: worker.py QUEUE"""
import json, os, sys, pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URI"])).channel()
channel.confirm_delivery()  # basic_publish returns once the broker has the reply
channel.basic_qos(prefetch_count=20)
for delivery, task, body in channel.consume(sys.argv[1]):
    order = json.loads(body)
    result = json.dumps({"total": order["price"] * order["quantity"]})
    reply = pika.BasicProperties(correlation_id=task.correlation_id, delivery_mode=2)
    channel.basic_publish("", task.reply_to, result, reply)
    channel.basic_ack(delivery.delivery_tag)  # last: should the worker crash, the task is delivered again
