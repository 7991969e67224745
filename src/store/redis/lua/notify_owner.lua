-- KEYS: an owner's lease, tasks and inbox. ARGV: kind and text of a message, maximum length of the inbox, its time to live in ms,
-- number of tasks that were taken over, the ids of these, and the ids of other tasks that have no such owner.
-- Removes the ids from the owner's set, and adds the message to its inbox, because the owner may be alive and only frozen. If the
-- owner is alive again, the ids of the other tasks stay: the owner may be recording such a task at this moment. A key of another type
-- does not prevent the rest.
local lease, tasks, inbox = KEYS[1], KEYS[2], KEYS[3]
local taken = tonumber(ARGV[5])
local alive = redis.pcall('GET', lease) == '1'
for i = 6, #ARGV do
  if i < 6 + taken or not alive then
    redis.pcall('SREM', tasks, ARGV[i])
  end
end
if taken > 0 then
  redis.call('XADD', inbox, 'MAXLEN', '~', ARGV[3], '*', ARGV[1], ARGV[2])
  redis.call('PEXPIRE', inbox, ARGV[4])
end
return 1
