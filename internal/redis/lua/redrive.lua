-- redrive: dead letters get all their attempts again, now. KEYS: the subscription. ARGV: ids.
-- Returns how many it did. What is not dead is left alone, so it is safe to repeat.
local n = 0
for _, id in ipairs(ARGV) do
  if redis.call('ZREM', KEYS[4], id) == 1 then
    redis.call('ZADD', KEYS[3], 0, id)
    local tokens = string.match(redis.call('HGET', KEYS[5], id) or '0 0', '^%d+ %d+(.*)$')
    redis.call('HSET', KEYS[5], id, '0 0' .. tokens)
    n = n + 1
  end
end
return n
