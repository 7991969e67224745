// A worker that uses the whole protocol, with RabbitMQ's Java client. Usage: java -cp ... Worker.java QUEUE
import com.google.gson.Gson;
import com.google.gson.JsonSyntaxException;
import com.rabbitmq.client.*;
import java.util.Map;
import java.util.concurrent.*;

public class Worker {
    static class Order { int price, quantity, steps, step_ms; }

    static Connection connection;
    static Channel channel;

    public static void main(String[] args) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URI"));
        connection = factory.newConnection(); // a thread of its own answers the broker while we work
        channel = connection.createChannel();
        channel.confirmSelect();
        channel.basicQos(1);
        channel.basicConsume(args[0], false, new DefaultConsumer(channel) {
            @Override
            public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties task, byte[] body) {
                try {
                    handle(task, new String(body, "UTF-8"));
                    channel.basicAck(envelope.getDeliveryTag(), false); // last: should we crash, it is delivered again
                } catch (Exception error) {
                    error.printStackTrace();
                    System.exit(1);
                }
            }
        });
    }

    static void handle(AMQP.BasicProperties task, String body) throws Exception {
        // Closing a channel of its own takes the queue with it.
        try (Channel control = connection.createChannel()) {
            BlockingQueue<String> cancels = new LinkedBlockingQueue<>();
            String queue = control.queueDeclare().getQueue(); // exclusive, auto-delete, named by the broker
            // Bound before `started`, which brings a cancel that was asked for earlier.
            control.queueBind(queue, "activity-bridge.control", task.getCorrelationId());
            control.basicConsume(queue, true, new DefaultConsumer(control) {
                @Override
                public void handleDelivery(String tag, Envelope e, AMQP.BasicProperties cancel, byte[] none) {
                    cancels.add(cancel.getHeaders().get("reason").toString());
                }
            });
            reply(task, "started", "", Map.of());
            work(task, new Gson().fromJson(body, Order.class), cancels);
        } catch (JsonSyntaxException | IllegalArgumentException error) {
            reply(task, "failed", error.getMessage(), Map.of("reason", "bad-order"));
        }
    }

    static void work(AMQP.BasicProperties task, Order order, BlockingQueue<String> cancels) throws Exception {
        if (order == null || order.quantity < 0) throw new IllegalArgumentException("the quantity is negative");
        for (int step = 1; step <= order.steps; step++) {
            String reason = cancels.poll(order.step_ms, TimeUnit.MILLISECONDS); // the work, unless a cancel comes
            if (reason != null) {
                if (reason.equals("cancel-requested")) reply(task, "canceled", "", Map.of());
                return; // "gone": nobody waits for an answer
            }
            reply(task, "heartbeat", "step " + step + " of " + order.steps, Map.of());
        }
        reply(task, "completed", new Gson().toJson(Map.of("total", order.price * order.quantity)), Map.of());
    }

    static void reply(AMQP.BasicProperties task, String type, String body, Map<String, Object> headers)
            throws Exception {
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
            .correlationId(task.getCorrelationId()).type(type).headers(headers).deliveryMode(2).build();
        channel.basicPublish("", task.getReplyTo(), properties, body.getBytes("UTF-8"));
        channel.waitForConfirmsOrDie(10_000);
    }
}
