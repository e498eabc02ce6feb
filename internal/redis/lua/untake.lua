-- untake: give back what an instance leased and does not know of, since the answer of a take was lost. It was
-- no attempt. Its token stays: should a call have been made all the same, it may still commit. Leases that
-- have ended are left to the next take: a former life may have held them, and its attempts count.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- ARGV[1]     the instance
-- ARGV[2..]   the tokens that it knows of
--
-- Returns how many.
local now = settle.now()
local known = {}
for i = 2, #ARGV do known[ARGV[i]] = true end
local n = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', now), '+inf')) do
  local record = redis.call('HGET', KEYS[5], id)
  local token = settle.newest(record)
  if token and settle.issued_by(token, ARGV[1]) and not known[token] then
    local attempts, since, tokens = settle.record(record)
    redis.call('HSET', KEYS[5], id, settle.text(attempts - 1, since, tokens))
    redis.call('ZREM', KEYS[2], id)
    redis.call('ZADD', KEYS[3], now, id)
    n = n + 1
  end
end
return n
