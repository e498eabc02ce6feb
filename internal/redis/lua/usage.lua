-- usage: keep what functions used on a day. Values are whole, so it is safe to repeat. A full Redis refuses
-- it: what is metered must not be what fills it.
--
-- KEYS[1]    the day
-- ARGV[1]    ms after which the day is forgotten
-- ARGV[2..]  field and value in turn
--
-- Returns 1.
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
