-- KEYS: an owner's lease, tasks and inbox.
-- Deletes the keys of an owner that is dead and has no tasks. Returns whether that is so.
if redis.pcall('GET', KEYS[1]) == '1' or redis.call('SCARD', KEYS[2]) > 0 then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[3])
return 1
