-- KEYS: the task. ARGV: me, route, token, polled at, timeouts, message, kept for.
-- A second try, and one that comes late, change nothing.
local key = KEYS[1]
if redis.call('HEXISTS', key, 'ended') == 1 or redis.call('HGET', key, 'published') == '1' then
  return 0
end
redis.call('HSETNX', key, 'owner', ARGV[1])
redis.call('HSET', key, 'route', ARGV[2], 'token', ARGV[3], 'polled_at', ARGV[4], 'timeouts', ARGV[5], 'message', ARGV[6])
redis.call('PEXPIREAT', key, ARGV[4] + ARGV[7])
return 1
