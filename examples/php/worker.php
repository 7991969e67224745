<?php
// A worker that uses the whole protocol, with the amqp extension. Usage: php worker.php QUEUE

$uri = parse_url(getenv('AMQP_URI'));
// Without heartbeats of the connection, which is the default: the extension can't send any while we work.
$connection = new AMQPConnection([
    'host' => $uri['host'], 'port' => $uri['port'] ?? 5672, 'vhost' => urldecode(substr($uri['path'] ?? '/%2f', 1)),
    'login' => urldecode($uri['user'] ?? 'guest'), 'password' => urldecode($uri['pass'] ?? 'guest'),
]);
$connection->connect();
$tasks = new AMQPChannel($connection);
$tasks->setPrefetchCount(1);
$replies = new AMQPChannel($connection); // of its own, so that waiting for a confirm meets confirms alone
$replies->confirmSelect();
$replies->setConfirmCallback(fn() => false, fn() => throw new Exception('the broker did not take the reply'));

function reply(AMQPEnvelope $task, string $type, string $body = '', array $headers = []): void
{
    global $replies;
    (new AMQPExchange($replies))->publish($body, $task->getReplyTo(), AMQP_NOPARAM, [
        'correlation_id' => $task->getCorrelationId(), 'type' => $type, 'headers' => $headers, 'delivery_mode' => 2,
    ]);
    $replies->waitForConfirm(10);
}

function work(AMQPEnvelope $task, AMQPQueue $cancels): void
{
    $order = json_decode($task->getBody(), flags: JSON_THROW_ON_ERROR);
    if ($order->quantity < 0) {
        throw new DomainException('the quantity is negative');
    }
    for ($step = 1; $step <= $order->steps; $step++) {
        usleep($order->step_ms * 1000);
        reply($task, 'heartbeat', "step $step of $order->steps");
        if ($cancel = $cancels->get(AMQP_AUTOACK)) {
            if ($cancel->getHeader('reason') === 'cancel-requested') {
                reply($task, 'canceled');
            }
            return; // "gone": nobody waits for an answer
        }
    }
    reply($task, 'completed', json_encode(['total' => $order->price * $order->quantity]));
}

$queue = new AMQPQueue($tasks);
$queue->setName($argv[1]);
$queue->consume(function (AMQPEnvelope $task, AMQPQueue $queue) use ($connection) {
    // Bound before `started`, which brings a cancel that was asked for earlier. Its channel goes with it.
    $cancels = new AMQPQueue(new AMQPChannel($connection));
    $cancels->setFlags(AMQP_EXCLUSIVE | AMQP_AUTODELETE);
    $cancels->declareQueue();
    $cancels->bind('activity-bridge.control', $task->getCorrelationId());
    reply($task, 'started');
    try {
        work($task, $cancels);
    } catch (JsonException | DomainException $error) {
        reply($task, 'failed', $error->getMessage(), ['reason' => 'bad-order']);
    }
    $cancels->delete();
    $queue->ack($task->getDeliveryTag()); // last: should the worker crash, the task is delivered again
});
