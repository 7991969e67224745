-- KEYS: the task.
-- Notes that a worker works on the task. A message that a durable broker has confirmed is needed no longer. Returns the owner, and
-- whether AWS requests a cancel.
local key = KEYS[1]
local owner = redis.call('HGET', key, 'owner')
if not owner then
  return {redis.call('HEXISTS', key, 'ended') == 1 and 'ended' or 'unknown'}
end
-- A record of a newer schema is left alone.
if tonumber(redis.call('HGET', key, 'schema') or 1) == 1 then
  redis.call('HSET', key, 'begun', 1)
  if redis.call('HGET', key, 'published') == '1' then
    redis.call('HDEL', key, 'message')
  end
end
return {'to', owner, redis.call('HGET', key, 'cancel') or '0'}
