-- KEYS: an owner's lease, tasks and mail. Whether the owner is dead and has nothing any more.
if redis.call('GET', KEYS[1]) == '1' or redis.call('SCARD', KEYS[2]) > 0 then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[3])
return 1
