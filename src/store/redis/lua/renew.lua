-- KEYS: the lease, tasks and inbox of this process. ARGV: time to live of the lease and of the set of tasks in ms, id of the last
-- message that was read, maximum number of messages.
-- Renews the lease. Returns whether it was there, and the next messages. A message stays in the inbox until the next renewal says
-- that it was read, because an answer may be lost.
local lease, tasks, inbox = KEYS[1], KEYS[2], KEYS[3]
local was_there = redis.call('EXISTS', lease)
redis.call('SET', lease, 1, 'PX', ARGV[1])
redis.call('PEXPIRE', tasks, ARGV[2])
redis.call('XTRIM', inbox, 'MINID', ARGV[3])
return {was_there, redis.call('XRANGE', inbox, '(' .. ARGV[3], '+', 'COUNT', ARGV[4])}
