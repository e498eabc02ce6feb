-- renew: leases go on. KEYS: the subscription. ARGV: 1 group  2 lease in ms, then id and token in turn.
-- Returns the ids that are not pending any more: somebody else has settled or cancelled them.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local gone = {}
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('ZSCORE', KEYS[2], id) then
    if settle.holds(KEYS[5], id, ARGV[i + 1]) then redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), id) end
  elseif settle.standing(KEYS[1], ARGV[1], id) == 'settled' then
    gone[#gone + 1] = id
  end
end
return gone
