-- KEYS: my lease, tasks and mail. ARGV: length of the lease, how long the set of tasks is kept, the last letter that was
-- read, how many are wanted.
-- A letter goes when the next look says that it arrived: an answer may be lost on the way.
local lease, tasks, mail = KEYS[1], KEYS[2], KEYS[3]
local was_there = redis.call('EXISTS', lease)
redis.call('SET', lease, 1, 'PX', ARGV[1])
redis.call('PEXPIRE', tasks, ARGV[2])
redis.call('XTRIM', mail, 'MINID', ARGV[3])
return {was_there, redis.call('XRANGE', mail, '(' .. ARGV[3], '+', 'COUNT', ARGV[4])}
