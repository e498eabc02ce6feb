-- unsubscribe: destroy a group, its notes, its pause and its record of calls.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes, if they are counted
-- KEYS[8..9]  of a function's own calls: their Idempotency-Keys, and those of ended calls
-- then        the details of the record of calls
-- then        the pause
-- last        the record of calls
-- ARGV[1]     group
-- ARGV[2]     '1' to do it also when messages are left
--
-- Returns 1; 0 if messages are left that the group has not settled, and then nothing is done.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, g in ipairs(groups.err and {} or groups) do
  if field(g, 'name') == ARGV[1] and ARGV[2] ~= '1' then
    local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if field(g, 'pending') > 0 or
      newest and not settle.not_after(newest[1], field(g, 'last-delivered-id')) then
      return 0
    end
  end
end
redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS])
groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if not groups.err then
  if #groups == 0 and redis.call('XLEN', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[1])
    if #KEYS > 9 then redis.call('DEL', KEYS[7]) end
    if #KEYS > 11 then -- what has ended is known as long as it would be, should the function come back
      redis.call('PEXPIRE', KEYS[8], queue.window)
      redis.call('PEXPIRE', KEYS[9], queue.window)
    end
  end
end
return 1
