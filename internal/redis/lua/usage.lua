-- usage: keep what functions used on a day. KEYS: 1 the day. ARGV: 1 ms after which the day is forgotten  2... field and value in turn.
-- Values are whole, so it may be repeated. A full Redis refuses it: what is metered must not be what fills it.
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
