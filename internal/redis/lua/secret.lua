-- secret: keep or forget a sealed secret, and tell all instances.
--
-- KEYS[1]  secrets
-- KEYS[2]  changes
-- ARGV[1]  'create', 'update' or 'delete'
-- ARGV[2]  NAMESPACE/NAME
-- ARGV[3]  the instance that does it
-- ARGV[4]  the sealed value
--
-- Returns 1; 0 if there is one to create, or none to update or delete, and nothing is done. A create or an
-- update of the same value is done again: its answer may have been lost.
local kept = redis.call('HGET', KEYS[1], ARGV[2])
if ARGV[1] == 'create' and kept and kept ~= ARGV[4] then return 0 end
if ARGV[1] ~= 'create' and not kept then return 0 end
if ARGV[1] == 'delete' then
  redis.call('HDEL', KEYS[1], ARGV[2])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
end
redis.call('XADD', KEYS[2], 'MAXLEN', 1000, '*', 'function', '', 'by', ARGV[3], 'secret', ARGV[2])
return 1
