-- KEYS: the task. ARGV: this process; the owner, the epoch (the field 'turn') and the schema version ('' if there is none) of the
-- record that this process has read; the names of the record's fields.
-- Makes this process the owner, unless one of the three has changed meanwhile. The epoch grows with each change of owner, so that a
-- message about an earlier change is known to be outdated. Returns the epoch and the fields, or nothing.
local key = KEYS[1]
local is = redis.call('HMGET', key, 'owner', 'turn', 'schema')
if is[1] ~= ARGV[2] or (is[2] or '0') ~= ARGV[3] or (is[3] or '') ~= ARGV[4] then
  return {}
end
-- An epoch that Redis can't read fails before anything is changed.
redis.call('HINCRBY', key, 'turn', 1)
redis.call('HSET', key, 'owner', ARGV[1])
return redis.call('HMGET', key, 'turn', unpack(ARGV, 5))
