-- KEYS: the lease of this process. ARGV: time to live of the lease in ms.
-- Renews the lease, and nothing else, so that nothing else can prevent it. Returns whether the lease was there.
local was_there = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
return was_there
