-- look: what is deployed at one moment. It writes nothing.
--
-- KEYS[1]  functions
-- KEYS[2]  changes
-- KEYS[3]  subscriptions
-- KEYS[4]  epoch
-- ARGV[1]  NAME.NAMESPACE; '' for all functions
-- ARGV[2]  the field of its callbacks; '' for all functions
--
-- Returns {last, epoch, specs, subscriptions}
--   last           the id of the last change; '0-0' if there is none
--   epoch          '' if there is none
--   specs          NAME.NAMESPACE and JSON in turn
--   subscriptions  the fields of all, or the one of ARGV[2] if it is there
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local last = newest and newest[1] or '0-0'
local epoch = redis.call('GET', KEYS[4]) or ''
if ARGV[1] == '' then return {last, epoch, redis.call('HGETALL', KEYS[1]), redis.call('HKEYS', KEYS[3])} end
local spec = redis.call('HGET', KEYS[1], ARGV[1])
local there = redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1
return {last, epoch, spec and {ARGV[1], spec} or {}, there and {ARGV[2]} or {}}
