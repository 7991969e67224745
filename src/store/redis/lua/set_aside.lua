-- KEYS: a key of this process, and a name for what is there. ARGV: the type that the key must have, time to live in ms.
-- Renames a key that somebody has replaced by one of another type, so that this process can make it again.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' or kind == ARGV[1] then
  return 0
end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
