-- reclaim: end the leases of an instance, which is known to be dead. KEYS: the subscription; then 7 its
-- bytes, if they are counted. ARGV: 1 instance.
-- Returns how many.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local n = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local token = string.match(redis.call('HGET', KEYS[5], id) or '', '^%d+ %d+ (%S+)')
  if token and string.sub(token, 1, #ARGV[1] + 1) == ARGV[1] .. ':' then
    if tonumber(redis.call('ZSCORE', KEYS[2], id)) > 0 then queue.lapsed(KEYS, KEYS[7], id, now, 'hearth ended while the call was under way') end
    redis.call('ZADD', KEYS[2], 0, id)
    n = n + 1
  end
end
return n
