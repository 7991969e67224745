-- KEYS: the task. ARGV: time to live of the tombstone in ms.
-- Deletes the record and leaves a tombstone. Returns the owner.
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'ended', 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return owner
