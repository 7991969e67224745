"""A worker that uses the whole protocol, with aio-pika. Ten tasks at a time. Usage: worker.py QUEUE"""
import asyncio
import json
import os
import sys

import aio_pika


async def work(body, reply):
    """Works step by step; ends early where it is cancelled, the asyncio way."""
    order = json.loads(body)
    if order["quantity"] < 0:
        raise ValueError("the quantity is negative")
    for step in range(1, order["steps"] + 1):
        await asyncio.sleep(order["step_ms"] / 1000)
        await reply("heartbeat", f"step {step} of {order['steps']}")
    return {"total": order["price"] * order["quantity"]}


async def handle(channel, task):
    reasons = []

    async def reply(kind, body="", **headers):
        message = aio_pika.Message(body.encode(), correlation_id=task.correlation_id, type=kind, headers=headers,
                                   delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, task.reply_to)  # returns once the broker has it

    async def on_cancel(cancel):
        reasons.append(cancel.headers["reason"])
        working.cancel()

    async with task.process(requeue=True):  # acknowledges last: should the worker crash, the task is delivered again
        # Bound before `started`, which brings a cancel that was asked for earlier.
        cancels = await channel.declare_queue(exclusive=True, auto_delete=True)
        await cancels.bind("activity-bridge.control", task.correlation_id)
        await reply("started")
        working = asyncio.create_task(work(task.body, reply))
        consumer = await cancels.consume(on_cancel, no_ack=True)
        try:
            await reply("completed", json.dumps(await working))
        except asyncio.CancelledError:
            if "gone" not in reasons:  # to that there is nothing to answer
                await reply("canceled")
        except (KeyError, TypeError, ValueError) as error:
            await reply("failed", repr(error), reason="bad-order")
        await cancels.cancel(consumer)  # which deletes the queue


async def main(queue):
    connection = await aio_pika.connect(os.environ["AMQP_URI"])
    channel = await connection.channel()  # with publisher confirms
    await channel.set_qos(prefetch_count=10)
    tasks = await channel.get_queue(queue)
    await tasks.consume(lambda task: handle(channel, task))
    await channel.closed()  # as it is when the connection is lost


asyncio.run(main(sys.argv[1]))
