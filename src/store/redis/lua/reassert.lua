-- KEYS: the task. ARGV: me, route, token, polled at, timeouts, kept for, published, begun, heard.
-- Says whose the task is, and its turn.
local key = KEYS[1]
if redis.call('HEXISTS', key, 'ended') == 1 then
  return {'ended', '0'}
end
local owner = redis.call('HGET', key, 'owner')
if not owner then
  owner = ARGV[1]
  redis.call('HSET', key, 'owner', owner, 'route', ARGV[2], 'token', ARGV[3], 'polled_at', ARGV[4], 'timeouts', ARGV[5],
    'published', ARGV[7], 'begun', ARGV[8])
  if ARGV[9] ~= '' then
    redis.call('HSET', key, 'heard', ARGV[9])
  end
  redis.call('PEXPIREAT', key, ARGV[4] + ARGV[6])
end
return {owner == ARGV[1] and 'ours' or 'theirs', redis.call('HGET', key, 'turn') or '0'}
