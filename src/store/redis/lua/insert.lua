-- KEYS: the task. ARGV: this process, route, token, polled at, timeouts, message, time to live after the poll in ms, activity,
-- source.
-- Records a new task. A second call, and a late one, change nothing.
local key = KEYS[1]
if redis.call('HEXISTS', key, 'ended') == 1 or redis.call('HGET', key, 'published') == '1' then
  return 0
end
redis.call('HSETNX', key, 'owner', ARGV[1])
redis.call('HSET', key, 'route', ARGV[2], 'token', ARGV[3], 'polled_at', ARGV[4], 'timeouts', ARGV[5], 'message', ARGV[6],
  'activity', ARGV[8], 'source', ARGV[9])
redis.call('PEXPIREAT', key, ARGV[4] + ARGV[7])
return 1
