-- KEYS: an owner's lease, tasks and mail. ARGV: a letter or '', how many are kept and for how long; how many tasks were
-- taken, these, and then those that are not to be had.
-- The owner may only be frozen, so it is told. If it is back, it knows better what it has: it may be recording a task that
-- was looked for and not there.
local lease, tasks, mail = KEYS[1], KEYS[2], KEYS[3]
local taken = tonumber(ARGV[5])
local alive = redis.call('GET', lease) == '1'
for i = 6, #ARGV do
  if i < 6 + taken or not alive then
    redis.call('SREM', tasks, ARGV[i])
  end
end
if taken > 0 then
  redis.call('XADD', mail, 'MAXLEN', '~', ARGV[3], '*', ARGV[1], ARGV[2])
  redis.call('PEXPIRE', mail, ARGV[4])
end
return 1
