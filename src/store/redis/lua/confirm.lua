-- KEYS: the task. ARGV: timeouts, time to live after the poll in ms.
-- Notes that a durable broker has confirmed the message. The message stays until a worker has begun too, because the broker may lose
-- its own.
local key = KEYS[1]
local polled_at = redis.call('HGET', key, 'polled_at')
if not polled_at or tonumber(redis.call('HGET', key, 'schema') or 1) ~= 1 then
  return 0
end
redis.call('HSET', key, 'published', 1, 'timeouts', ARGV[1])
redis.call('HDEL', key, 'durable')
if redis.call('HGET', key, 'begun') == '1' then
  redis.call('HDEL', key, 'message')
end
redis.call('PEXPIREAT', key, polled_at + ARGV[2])
return 1
