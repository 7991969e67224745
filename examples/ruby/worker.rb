# A worker that uses the whole protocol, with bunny. Usage: ruby worker.rb QUEUE
require "bunny"
require "json"

connection = Bunny.new(ENV.fetch("AMQP_URI")).start # its own thread answers the broker while we work
channel = connection.create_channel
channel.confirm_select
channel.prefetch(1)

channel.queue(ARGV.fetch(0), passive: true).subscribe(manual_ack: true, block: true) do |delivery, task, body|
  reply = lambda do |type, text = "", headers = {}|
    channel.default_exchange.publish(text, routing_key: task.reply_to, correlation_id: task.correlation_id,
                                           type: type, headers: headers, persistent: true)
    channel.wait_for_confirms or raise "the broker did not take the reply"
  end

  # Bound before `started`, which brings a cancel that was asked for earlier.
  cancels = channel.queue("", exclusive: true, auto_delete: true)
  cancels.bind("activity-bridge.control", routing_key: task.correlation_id)
  reply.("started")
  begin
    price, quantity, steps, step_ms = JSON.parse(body).fetch_values("price", "quantity", "steps", "step_ms")
    raise ArgumentError, "the quantity is negative" if quantity.negative?

    cancel = nil
    (1..steps).each do |step|
      sleep step_ms / 1000.0
      reply.("heartbeat", "step #{step} of #{steps}")
      _, cancel, = cancels.pop
      break if cancel
    end
    if cancel.nil?
      reply.("completed", JSON.generate(total: price * quantity))
    elsif cancel.headers["reason"] == "cancel-requested"
      reply.("canceled") # to "gone" there is nothing to answer
    end
  rescue JSON::ParserError, KeyError, NoMethodError, TypeError, ArgumentError => error
    reply.("failed", error.message, { reason: "bad-order" })
  end
  cancels.delete
  channel.ack(delivery.delivery_tag) # last: should the worker crash, the task is delivered again
end
