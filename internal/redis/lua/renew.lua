-- renew: leases go on. KEYS: the subscription. ARGV: 1 lease in ms, then id and token in turn. Returns how many it did.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local n = 0
for i = 2, #ARGV, 2 do
  if redis.call('ZSCORE', KEYS[2], ARGV[i]) and settle.holds(KEYS[5], ARGV[i], ARGV[i + 1]) then
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[1]), ARGV[i])
    n = n + 1
  end
end
return n
