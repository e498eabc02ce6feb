-- redrive: give dead letters all their attempts again, now.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- ARGV[1..]   ids
--
-- Returns how many. What is not dead is left alone, so it is safe to repeat.
local n = 0
for _, id in ipairs(ARGV) do
  if redis.call('ZREM', KEYS[4], id) == 1 then
    redis.call('ZADD', KEYS[3], 0, id)
    local _, _, tokens = settle.record(redis.call('HGET', KEYS[5], id))
    redis.call('HSET', KEYS[5], id, settle.text(0, '0', tokens))
    n = n + 1
  end
end
return n
