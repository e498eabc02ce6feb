-- reclaim: end the leases of an instance that is known to be dead: the former life of the one that asks.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes, if they are counted
-- ARGV[1]     the instance
--
-- Returns how many.
local now = settle.now()
local n = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local token = settle.newest(redis.call('HGET', KEYS[5], id))
  if token and settle.issued_by(token, ARGV[1]) then
    if tonumber(redis.call('ZSCORE', KEYS[2], id)) > 0 then
      queue.lapsed(KEYS, KEYS[7], id, now, 'the instance ended while the call was in flight')
    end
    redis.call('ZADD', KEYS[2], 0, id)
    n = n + 1
  end
end
return n
