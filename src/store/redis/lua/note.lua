-- KEYS: the task. ARGV: begun or '', heard or '', cancel or '', released or '', number of failed deliveries or '', timeouts or '',
-- time to live after the poll in ms with these timeouts.
-- Writes notes about a task. Returns the owner and the epoch (the field 'turn'), so that an owner that did not get the message
-- about a claim learns of it here. The field 'durable' is '0' from the first note that only a broker without durable messages causes.
local key = KEYS[1]
local owner = redis.call('HGET', key, 'owner')
if not owner then
  return {redis.call('HEXISTS', key, 'ended') == 1 and 'ended' or 'unknown'}
end
-- A newer version has taken the task over. It knows more than these notes.
if tonumber(redis.call('HGET', key, 'schema') or 1) ~= 1 then
  return {'noted', owner, redis.call('HGET', key, 'turn') or '0'}
end
if ARGV[1] ~= '' then
  redis.call('HSET', key, 'begun', 1)
  if redis.call('HGET', key, 'published') == '1' then
    redis.call('HDEL', key, 'message')
  end
end
if ARGV[2] ~= '' and tonumber(ARGV[2]) > (tonumber(redis.call('HGET', key, 'heard') or 0) or 0) then
  redis.call('HSET', key, 'heard', ARGV[2])
end
if ARGV[3] ~= '' then
  redis.call('HSET', key, 'cancel', 1)
end
if ARGV[4] ~= '' then
  redis.call('HSET', key, 'begun', 1, 'published', 1, 'durable', 0)
  redis.call('HDEL', key, 'message')
end
if ARGV[5] ~= '' then
  redis.call('HSET', key, 'failed_deliveries', ARGV[5], 'durable', 0)
end
if ARGV[6] ~= '' then
  redis.call('HSET', key, 'timeouts', ARGV[6])
  redis.call('PEXPIREAT', key, redis.call('HGET', key, 'polled_at') + ARGV[7])
end
return {'noted', owner, redis.call('HGET', key, 'turn') or '0'}
