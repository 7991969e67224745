-- KEYS: the task. ARGV: this process, route, token, polled at, timeouts, time to live after the poll in ms, published, begun, heard,
-- durable, number of failed deliveries, activity, source or ''.
-- Records the task again if Redis has lost its record. Returns whether this process owns the task, and the epoch (the field 'turn').
local key = KEYS[1]
if redis.call('HEXISTS', key, 'ended') == 1 then
  return {'ended', '0'}
end
local owner = redis.call('HGET', key, 'owner')
if not owner then
  owner = ARGV[1]
  redis.call('HSET', key, 'owner', owner, 'route', ARGV[2], 'token', ARGV[3], 'polled_at', ARGV[4], 'timeouts', ARGV[5],
    'published', ARGV[7], 'begun', ARGV[8], 'activity', ARGV[12])
  if ARGV[13] ~= '' then
    redis.call('HSET', key, 'source', ARGV[13])
  end
  if ARGV[10] == '0' then
    redis.call('HSET', key, 'durable', 0, 'failed_deliveries', ARGV[11])
  end
  if ARGV[9] ~= '' then
    redis.call('HSET', key, 'heard', ARGV[9])
  end
  redis.call('PEXPIREAT', key, ARGV[4] + ARGV[6])
end
return {owner == ARGV[1] and 'ours' or 'theirs', redis.call('HGET', key, 'turn') or '0'}
