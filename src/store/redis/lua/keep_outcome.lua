-- KEYS: the task. ARGV: the outcome.
-- Keeps an outcome that AWS has not taken, and deletes the message.
local key = KEYS[1]
if redis.call('HEXISTS', key, 'owner') == 0 or tonumber(redis.call('HGET', key, 'schema') or 1) ~= 1 then
  return 0
end
redis.call('HSET', key, 'outcome', ARGV[1], 'has_outcome', 1, 'published', 1, 'durable', 0)
redis.call('HDEL', key, 'message')
return 1
