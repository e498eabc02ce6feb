-- scaled: keep how many replicas a function has, unless another spec was kept meanwhile. It tells nobody.
--
-- KEYS[1]  functions
-- ARGV[1]  NAME.NAMESPACE
-- ARGV[2]  the spec as JSON
-- ARGV[3]  its deployedAt
--
-- Returns 1; 0 if that spec is not the one that is kept.
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if not kept or cjson.decode(kept).deployedAt ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
