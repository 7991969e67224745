-- KEYS: an owner's lease.
-- Returns the value of the lease, and its remaining time to live in ms.
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
