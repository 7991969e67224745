-- KEYS: the tasks and inbox of this process. ARGV: time to live of the set of tasks in ms, id of the last message that was read,
-- maximum number of messages.
-- Returns whether the set of tasks has its type, and the next messages. A message stays in the inbox until the next call says that it
-- was read, because an answer may be lost.
local tasks, inbox = KEYS[1], KEYS[2]
local kind = redis.call('TYPE', tasks).ok
redis.call('PEXPIRE', tasks, ARGV[1])
redis.call('XTRIM', inbox, 'MINID', ARGV[2])
local messages = redis.call('XRANGE', inbox, '(' .. ARGV[2], '+', 'COUNT', ARGV[3])
return {(kind == 'set' or kind == 'none') and 1 or 0, messages}
