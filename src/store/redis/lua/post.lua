-- KEYS: an owner's lease and mail. ARGV: the kind of letter, its text, how many are kept and for how long.
-- Only to the living.
if redis.call('GET', KEYS[1]) ~= '1' then
  return 0
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return 1
