// A worker that uses the whole protocol, with amqp091-go. Ten tasks at a time. Usage: worker QUEUE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

type order struct {
	Price, Quantity, Steps int
	StepMS                 int `json:"step_ms"`
}

// must ends the worker: what it had not acknowledged is delivered again.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func handle(connection *amqp.Connection, task amqp.Delivery) {
	// Last: should the worker crash before, the task is delivered again.
	defer func() { must(task.Ack(false)) }()

	// A channel for each task: closing it takes the queue with it, and the confirms on it are of this task's replies.
	// (In 1.5.0, Debian's, waiting for a DeferredConfirmation hangs where the confirm is quicker than its registration.)
	channel, err := connection.Channel()
	must(err)
	defer channel.Close()
	must(channel.Confirm(false))
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	reply := func(kind, body string, headers amqp.Table) {
		must(channel.PublishWithContext(context.Background(), "", task.ReplyTo, false, false, amqp.Publishing{
			CorrelationId: task.CorrelationId, Type: kind, Headers: headers, Body: []byte(body),
			DeliveryMode: amqp.Persistent}))
		if confirm := <-confirms; !confirm.Ack {
			log.Fatal("the broker did not take the reply")
		}
	}

	// Bound before `started`, which brings a cancel that was asked for earlier.
	queue, err := channel.QueueDeclare("", false, true, true, false, nil) // auto-delete, exclusive
	must(err)
	must(channel.QueueBind(queue.Name, task.CorrelationId, "activity-bridge.control", false, nil))
	cancels, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	must(err)

	reply("started", "", nil)
	var o order
	if err := json.Unmarshal(task.Body, &o); err != nil || o.Quantity < 0 {
		reply("failed", fmt.Sprintf("quantity %d, error %v", o.Quantity, err), amqp.Table{"reason": "bad-order"})
		return
	}
	for step := 1; step <= o.Steps; step++ {
		select {
		case cancel, open := <-cancels:
			if !open {
				log.Fatal("the connection is lost")
			}
			if cancel.Headers["reason"] == "cancel-requested" {
				reply("canceled", "", nil)
			}
			return // "gone": nobody waits for an answer
		case <-time.After(time.Duration(o.StepMS) * time.Millisecond): // the work
			reply("heartbeat", fmt.Sprintf("step %d of %d", step, o.Steps), nil)
		}
	}
	result, err := json.Marshal(map[string]int{"total": o.Price * o.Quantity})
	must(err)
	reply("completed", string(result), nil)
}

func main() {
	connection, err := amqp.Dial(os.Getenv("AMQP_URI"))
	must(err)
	channel, err := connection.Channel()
	must(err)
	must(channel.Qos(10, 0, false))
	tasks, err := channel.Consume(os.Args[1], "", false, false, false, false, nil)
	must(err)
	for task := range tasks {
		go handle(connection, task)
	}
	log.Fatal("the connection is lost")
}
