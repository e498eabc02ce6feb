-- pause: stop the deliveries of a subscription, until the key of the pause is deleted.
--
-- KEYS[1]  the stream
-- KEYS[2]  the pause: the ms since when
-- ARGV[1]  group
--
-- Returns the ms since when it is paused; '' if there is no such group. Repeated, it changes nothing.
if redis.pcall('XPENDING', KEYS[1], ARGV[1]).err then return '' end
redis.call('SET', KEYS[2], string.format('%.0f', settle.now()), 'NX')
return redis.call('GETRANGE', KEYS[2], 0, -1)
