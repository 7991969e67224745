-- KEYS: the task. ARGV: this process, the expected owner or '' for any, the routes of this process.
-- Makes this process the owner. The epoch (the field 'turn') grows with each change of owner, so that a message about an earlier
-- change is known to be outdated.
local key = KEYS[1]
local owner = redis.call('HGET', key, 'owner')
if not owner then
  return {redis.call('HEXISTS', key, 'ended') == 1 and 'ended' or 'unknown'}
end
if owner ~= ARGV[1] then
  if ARGV[2] ~= '' and owner ~= ARGV[2] then
    return {'theirs'}
  end
  local route, has_route = redis.call('HGET', key, 'route'), false
  for i = 3, #ARGV do
    has_route = has_route or ARGV[i] == route
  end
  if not has_route then
    return {'other route'}
  end
  redis.call('HSET', key, 'owner', ARGV[1])
  redis.call('HINCRBY', key, 'turn', 1)
end
local record = redis.call('HMGET', key, 'route', 'token', 'polled_at', 'timeouts', 'published', 'begun', 'heard', 'durable',
  'failed_deliveries', 'has_outcome', 'activity')
return {'ours', owner, redis.call('HGET', key, 'turn') or '0', unpack(record)}
