-- unsubscribe: destroy a group and its notes. KEYS: the subscription; then 7 its bytes, if they are counted;
-- then, if it is of a function's own calls, 8 its keys  9 its ended keys. ARGV: 1 group  2 '1' if also when
-- it has entries left.
-- Returns 1; 0 if it has entries that it has not settled, and then nothing is done.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, g in ipairs(groups.err and {} or groups) do
  if field(g, 'name') == ARGV[1] and ARGV[2] ~= '1' then
    local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if field(g, 'pending') > 0 or newest and not settle.not_after(newest[1], field(g, 'last-delivered-id')) then return 0 end
  end
end
redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if not groups.err then
  if #groups == 0 and redis.call('XLEN', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[1])
    if KEYS[7] then redis.call('DEL', KEYS[7]) end
    if KEYS[8] then -- what has ended is known as long as it would be, should the function come back
      redis.call('PEXPIRE', KEYS[8], queue.window)
      redis.call('PEXPIRE', KEYS[9], queue.window)
    end
  end
end
return 1
