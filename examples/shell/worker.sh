#!/bin/sh
# A worker that uses the whole protocol, with amqp-tools and jq. Usage: worker.sh QUEUE
# The tools show a body and no properties: the route has `properties_in_body = true`. Nor do they set `correlation_id`
# and `type`, so the headers `correlation-id` and `reply-type` stand in.
if [ $# -eq 1 ]; then
    # Runs this script once for each task, and acknowledges it when that ended well.
    exec amqp-consume --url="$AMQP_URI" --queue="$1" --prefetch-count=1 sh "$0"
fi

dir=$(mktemp -d) listener=
# Whatever goes wrong ends amqp-consume too, and the broker delivers the task again.
trap 'code=$?; kill $listener 2>/dev/null; rm -r "$dir"; [ $code = 0 ] || kill $PPID' EXIT
set -eu

while IFS=': ' read -r name value && [ -n "$name" ]; do
    case $name in correlation-id) task=$value ;; reply-to) reply_to=$value ;; esac
done
cat >"$dir/order"

reply() { # TYPE BODY [HEADER]; ends when the broker has it: it closes the connection in good order
    amqp-publish --url="$AMQP_URI" --routing-key="$reply_to" --persistent --body="$2" \
        --header="correlation-id: $task" --header="reply-type: $1" ${3:+--header="$3"}
}

# A queue of its own, exclusive and auto-delete; the body of the cancel is its reason.
amqp-consume --url="$AMQP_URI" --exchange=activity-bridge.control --routing-key="$task" --exclusive --count=1 \
    cp /dev/stdin "$dir/cancel" 2>/dev/null &
listener=$!

reply started ""
if ! order=$(jq -er 'if .quantity < 0 then error("the quantity is negative") else
        "\(.steps) \(.step_ms / 1000) \({total: (.price * .quantity)})" end' "$dir/order" 2>"$dir/error"); then
    reply failed "$(cat "$dir/error")" "reason: bad-order"
    exit 0
fi
read -r steps step_secs result <<END
$order
END
step=0
while [ $step -lt "$steps" ]; do
    sleep "$step_secs"
    step=$((step + 1))
    if [ -s "$dir/cancel" ]; then
        [ "$(cat "$dir/cancel")" = gone ] || reply canceled "" # to "gone" there is nothing to answer
        exit 0
    fi
    reply heartbeat "step $step of $steps"
done
reply completed "$result"
