// A worker that uses the whole protocol, with amqplib. Ten tasks at a time. Usage: node worker.js QUEUE
const amqp = require("amqplib");
const { setTimeout: sleep } = require("timers/promises");

async function handle(connection, channel, task) {
  const { correlationId, replyTo } = task.properties;
  const reply = async (type, body = "", headers = {}) => {
    channel.publish("", replyTo, Buffer.from(body), { correlationId, type, headers, persistent: true });
    await channel.waitForConfirms();
  };
  // Closing a channel of its own takes the queue with it. Bound before `started`, which brings an earlier cancel.
  const control = await connection.createChannel();
  const { queue } = await control.assertQueue("", { exclusive: true, autoDelete: true });
  await control.bindQueue(queue, "activity-bridge.control", correlationId);
  const stop = new AbortController();
  await control.consume(queue, (cancel) => stop.abort(cancel.properties.headers.reason), { noAck: true });
  await reply("started");
  try {
    const { price, quantity, steps, step_ms } = JSON.parse(task.content);
    if (!(quantity >= 0)) throw new RangeError("the quantity is no number from 0 on");
    for (let step = 1; step <= steps; step++) {
      await sleep(step_ms, undefined, { signal: stop.signal });
      await reply("heartbeat", `step ${step} of ${steps}`);
    }
    await reply("completed", JSON.stringify({ total: price * quantity }));
  } catch (error) {
    // To a cancel with the reason "gone" there is nothing to answer.
    if (!stop.signal.aborted) await reply("failed", String(error), { reason: "bad-order" });
    else if (stop.signal.reason === "cancel-requested") await reply("canceled");
  }
  await control.close();
  channel.ack(task); // last: should the worker crash, the task is delivered again
}

async function main(queue) {
  const connection = await amqp.connect(process.env.AMQP_URI);
  const channel = await connection.createConfirmChannel();
  await channel.prefetch(10);
  // A rejection that nobody catches ends the process, as a lost connection does; its tasks are delivered again.
  await channel.consume(queue, (task) => handle(connection, channel, task));
}

main(process.argv[2]);
