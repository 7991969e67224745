-- KEYS: the task. ARGV: this process.
-- Notes that a durable broker has lost the message. A worker that has begun has it.
local key = KEYS[1]
local is = redis.call('HMGET', key, 'owner', 'begun', 'durable', 'schema')
if is[1] == ARGV[1] and is[2] ~= '1' and is[3] ~= '0' and tonumber(is[4] or 1) == 1 then
  redis.call('HSET', key, 'published', 0)
end
return 1
