-- sweep: lease pending messages that are in none of the three sets, and forget
-- Idempotency-Keys without calls.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes, if they are counted
-- KEYS[8..9]  of a function's own calls: their Idempotency-Keys, and those of ended calls
-- ARGV[1]     group
-- ARGV[2]     the lease, ms
--
-- Returns how many messages there were.
if KEYS[8] then queue.drop_orphans(KEYS) end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if pending.err or pending[1] == 0 then return 0 end
local noted = redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4])
if noted == pending[1] then return 0 end
local ends = settle.now() + tonumber(ARGV[2])
local n, from = 0, '-'
while true do
  local some = redis.call('XPENDING', KEYS[1], ARGV[1], from, '+', 100)
  for _, p in ipairs(some) do
    local id = p[1]
    if not (redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[3], id) or
      redis.call('ZSCORE', KEYS[4], id)) then
      redis.call('ZADD', KEYS[2], ends, id)
      n = n + 1
    end
  end
  if #some < 100 then return n end
  from = some[#some][1] -- once more, which does no harm: it is leased now
end
