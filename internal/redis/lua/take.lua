-- take: lease what may be worked on now. KEYS: the subscription. ARGV: 1 group  2 consumer  3 how many  4 lease in ms
-- 5 instance  6 a random seed for the tokens.
-- Returns {entries, next, drained, last}: entries {id, attempt, since, token, fields or false}; next, the ms until something
-- else may be taken, -1 if nothing will; drained, 1 if nothing waits; last, the id up to which the group has read, if drained.
-- Errors NOGROUP if there is no such group.
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local group, room, lease = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local entries = {}
local most_parked = 2000 -- entries with a time to come that one take sets aside, so that it does not take long

local function hold(id, fields)
  local attempts, since, older = string.match(redis.call('HGET', KEYS[5], id) or '0 0', '^(%d+) (%d+)(.*)$')
  if since == '0' then since = tostring(now) end
  local token = ARGV[5] .. ':' .. redis.sha1hex(ARGV[6] .. id)
  redis.call('HSET', KEYS[5], id, (attempts + 1) .. ' ' .. since .. ' ' .. token .. older)
  redis.call('ZADD', KEYS[2], now + lease, id)
  entries[#entries + 1] = {id, attempts + 1, tonumber(since), token, fields}
  room = room - 1
end

redis.call('XPENDING', KEYS[1], group) -- an error if there is no such group
-- An entry may say before when it must not be delivered. One that says it in a way that cannot be read is delivered, so that
-- whoever reads it says what is wrong.
local function deliver_at(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'deliver-at' then return string.match(fields[i + 1], '^%d+$') and #fields[i + 1] < 16 and tonumber(fields[i + 1]) or 0 end
  end
  return 0
end

for _, set in ipairs({KEYS[2], KEYS[3]}) do
  if room > 0 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, room)) do
      local ended = tonumber(redis.call('ZSCORE', set, id))
      redis.call('ZREM', set, id)
      if set == KEYS[2] and ended > 0 then queue.lapsed(KEYS, id, ended, 'its lease ran out, and nobody had told how it ended') end
      local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
      hold(id, entry and entry[2])
    end
  end
end

local drained = 0
while room > 0 and drained == 0 and most_parked > 0 do
  local asked = room
  local read = redis.call('XREADGROUP', 'GROUP', group, ARGV[2], 'COUNT', asked, 'STREAMS', KEYS[1], '>')
  local found = read and read[1][2] or {}
  for _, entry in ipairs(found) do
    local at = deliver_at(entry[2])
    if at > now then
      redis.call('ZADD', KEYS[3], at, entry[1])
      most_parked = most_parked - 1
    else
      hold(entry[1], entry[2])
    end
  end
  if #found < asked then drained = 1 end
end

local next = -1
for _, set in ipairs({KEYS[2], KEYS[3]}) do
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, tonumber(first[2]) - now)
    if next < 0 or wait < next then next = wait end
  end
end
local last = '0-0'
if drained == 1 then
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if field(g, 'name') == group then last = field(g, 'last-delivered-id') end
  end
end
return {entries, next, drained, last}
