-- KEYS: an owner's lease and inbox. ARGV: kind and text of the message, maximum length of the inbox, its time to live in ms.
-- Adds a message to the inbox of an owner that is alive.
if redis.pcall('GET', KEYS[1]) ~= '1' then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
