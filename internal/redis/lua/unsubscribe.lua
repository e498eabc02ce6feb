-- unsubscribe: destroy a group and its notes. KEYS: the subscription. ARGV: 1 group  2 '1' if also when entries are left.
-- Returns 1; 0 if entries are left that some group has yet to settle, and then nothing is done.
if ARGV[2] ~= '1' and redis.call('XLEN', KEYS[1]) > 0 then return 0 end
redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if not groups.err then
  if #groups == 0 and redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[1]) end
end
return 1
