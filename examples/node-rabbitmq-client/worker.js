// A worker that uses the whole protocol, with rabbitmq-client. Ten tasks at a time. Usage: node worker.js QUEUE
const { Connection } = require("rabbitmq-client");
const { setTimeout: sleep } = require("timers/promises");

const rabbit = new Connection(process.env.AMQP_URI);
const replies = rabbit.createPublisher({ confirm: true }); // send() resolves once the broker has the reply

async function handle(task) {
  const { correlationId, replyTo } = task;
  const reply = (type, body = "", headers = {}) =>
    replies.send({ routingKey: replyTo, correlationId, type, headers, durable: true }, body);
  // Closing a channel of its own takes the queue with it. Bound before `started`, which brings an earlier cancel.
  const control = await rabbit.acquire();
  const stop = new AbortController();
  try {
    const { queue } = await control.queueDeclare({ exclusive: true, autoDelete: true });
    await control.queueBind({ queue, exchange: "activity-bridge.control", routingKey: correlationId });
    await control.basicConsume({ queue, noAck: true }, (cancel) => stop.abort(cancel.headers.reason));
    await reply("started");
    await work(task, reply, stop.signal);
  } finally {
    await control.close();
  }
} // Acknowledged last: should the worker crash, the task is delivered again.

async function work(task, reply, signal) {
  let total;
  try {
    const { price, quantity, steps, step_ms } = JSON.parse(task.body);
    if (!(quantity >= 0)) throw new RangeError("the quantity is no number from 0 on");
    for (let step = 1; step <= steps; step++) {
      await sleep(step_ms, undefined, { signal });
      await reply("heartbeat", `step ${step} of ${steps}`);
    }
    total = price * quantity;
  } catch (error) {
    // To a cancel with the reason "gone" there is nothing to answer.
    if (!signal.aborted) await reply("failed", String(error), { reason: "bad-order" });
    else if (signal.reason === "cancel-requested") await reply("canceled");
    return;
  }
  await reply("completed", JSON.stringify({ total }));
}

const consumer = rabbit.createConsumer(
  { queue: process.argv[2], queueOptions: { passive: true }, qos: { prefetchCount: 10 } },
  handle,
);
// With these, the client connects again. A task whose handler has failed is delivered again.
for (const each of [rabbit, consumer]) each.on("error", console.error);
