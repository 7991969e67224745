-- KEYS: the task. ARGV: begun or '', heard or '', cancel or ''.
-- Writes notes about a task. Returns the owner and the epoch (the field 'turn'), so that an owner that did not get the message
-- about a claim learns of it here.
local key = KEYS[1]
local owner = redis.call('HGET', key, 'owner')
if not owner then
  return {redis.call('HEXISTS', key, 'ended') == 1 and 'ended' or 'unknown'}
end
if ARGV[1] ~= '' then
  redis.call('HSET', key, 'begun', 1)
end
if ARGV[2] ~= '' and tonumber(ARGV[2]) > tonumber(redis.call('HGET', key, 'heard') or 0) then
  redis.call('HSET', key, 'heard', ARGV[2])
end
if ARGV[3] ~= '' then
  redis.call('HSET', key, 'cancel', 1)
end
return {'noted', owner, redis.call('HGET', key, 'turn') or '0'}
