-- untake: give back what an instance leased and does not know of, since the answer of a take was lost. It was no attempt. Its token
-- stays: should a call have been made all the same, it may still commit. Leases that have ended are left to the next take: those
-- that a former life held, whose attempts count.
-- KEYS: the subscription. ARGV: 1 instance  2 ... the tokens that the instance does know of.
-- Returns how many.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local known = {}
for i = 2, #ARGV do known[ARGV[i]] = true end
local n = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', now), '+inf')) do
  local attempts, since, token, older = string.match(redis.call('HGET', KEYS[5], id) or '', '^(%d+) (%d+) (%S+)(.*)$')
  if token and string.sub(token, 1, #ARGV[1] + 1) == ARGV[1] .. ':' and not known[token] then
    redis.call('HSET', KEYS[5], id, (attempts - 1) .. ' ' .. since .. ' ' .. token .. older)
    redis.call('ZREM', KEYS[2], id)
    redis.call('ZADD', KEYS[3], now, id)
    n = n + 1
  end
end
return n
