-- release: end a lease, if it is still ours.
--
-- KEYS[1]  the lease
-- ARGV[1]  owner
-- ARGV[2]  token
--
-- Returns 1; 0 if it is not.
local prefix = ARGV[1] .. ' ' .. ARGV[2] .. ' '
local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 1, #prefix) ~= prefix then return 0 end
return redis.call('DEL', KEYS[1])
