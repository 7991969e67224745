-- KEYS: the task. ARGV: begun or '', heard or '', cancel or ''.
-- Says whose the task is, so that an owner that was not told of a claim learns of it here: owner, turn.
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
