-- KEYS: an owner's lease. What is in it, and how long it has left.
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
