-- purge: throw dead letters away. KEYS: the subscription. ARGV: 1 group, then ids. Returns how many it did.
local n = 0
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[4], ARGV[i]) then
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    settle.drop(KEYS[1], ARGV[1], ARGV[i])
    settle.forget(KEYS, ARGV[i])
    n = n + 1
  end
end
return n
