-- adopt: sign records that have no MAC, all at once, unless they were changed meanwhile.
--
-- KEYS[1]    functions
-- KEYS[2]    namespaces
-- ARGV[1]    how many of the other arguments are about functions
-- ARGV[2..]  field, old record and new record in turn, of functions and then of namespaces
--
-- Returns 1.
for i = 2, #ARGV, 3 do
  local key = KEYS[i - 2 < tonumber(ARGV[1]) and 1 or 2]
  if redis.call('HGET', key, ARGV[i]) == ARGV[i + 1] then redis.call('HSET', key, ARGV[i], ARGV[i + 2]) end
end
return 1
