-- sweep: lease pending entries that are in none of the three sets, and forget keys without calls. KEYS: the
-- subscription; then, if it is of a function's own calls, 7 its bytes  8 its keys  9 its ended keys. ARGV: 1
-- group  2 lease in ms.
-- Returns how many there were.
if KEYS[8] then queue.drop_orphans(KEYS) end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if pending.err or pending[1] == 0 then return 0 end
local noted = redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4])
if noted == pending[1] then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local n, from = 0, '-'
while true do
  local some = redis.call('XPENDING', KEYS[1], ARGV[1], from, '+', 100)
  for _, p in ipairs(some) do
    local id = p[1]
    if not (redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[3], id) or redis.call('ZSCORE', KEYS[4], id)) then
      redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), id)
      n = n + 1
    end
  end
  if #some < 100 then return n end
  from = some[#some][1] -- once more, which does no harm: it is leased now
end
