-- settle: what becomes of one message of one subscription. Shared by a function's commit and the dispatcher.
--
-- A subscription has six keys, in this order:
--   1 stream      the messages
--   2 leased      zset id -> the ms at which the lease ends
--   3 due         zset id -> the ms from which it may be taken again
--   4 dead        zset id -> the ms at which it was buried
--   5 deliveries  hash id -> "ATTEMPTS SINCE TOKEN TOKEN ...": since is the ms of the first, and the newest token is first
--   6 failures    hash id -> JSON lines, one for each failed attempt, the oldest first
-- A pending id is in exactly one of 2, 3 and 4.
local settle = {}

-- A reply of XINFO is a flat list of names and values.
local function field(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then return list[i + 1] end
  end
end

-- not_after(a, b): stream id a <= stream id b. Their parts are unsigned 64 bit numbers, more than a Lua number holds, so they
-- are compared as text. "5" is "5-0".
function settle.not_after(a, b)
  local am, as = string.match(a .. '-0', '^(%d+)-(%d+)')
  local bm, bs = string.match(b .. '-0', '^(%d+)-(%d+)')
  if am ~= bm then
    if #am ~= #bm then return #am < #bm end
    return am < bm
  end
  if #as ~= #bs then return #as < #bs end
  return as <= bs
end

-- standing(stream, group, id): 'pending'; 'settled', it was pending once; 'undelivered', not yet; or 'nogroup'.
function settle.standing(stream, group, id)
  local pending = redis.pcall('XPENDING', stream, group, id, id, 1)
  if pending.err then return 'nogroup' end
  if #pending > 0 then return 'pending' end
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if field(g, 'name') == group then
      return settle.not_after(id, field(g, 'last-delivered-id')) and 'settled' or 'undelivered'
    end
  end
  return 'nogroup'
end

-- among(issued, token): is this token among those of an entry of the deliveries, which may be false?
function settle.among(issued, token)
  return issued ~= false and #token >= 16 and string.find(issued .. ' ', ' ' .. token .. ' ', 1, true) ~= nil
end

-- knows(deliveries, id, token): was this token ever issued for this message?
function settle.knows(deliveries, id, token) return settle.among(redis.call('HGET', deliveries, id), token) end

-- newest(issued, token): is this token the newest of an entry of the deliveries, which may be false?
function settle.newest(issued, token)
  return issued ~= false and #token >= 16 and string.match(issued, '^%d+ %d+ (%S+)') == token
end

-- holds(deliveries, id, token): is this token the newest of this message?
function settle.holds(deliveries, id, token) return settle.newest(redis.call('HGET', deliveries, id), token) end

-- forget(subscription's keys, id): drop the notes about a message that is not pending any more.
function settle.forget(k, id)
  redis.call('ZREM', k[2], id)
  redis.call('ZREM', k[3], id)
  redis.call('ZREM', k[4], id)
  redis.call('HDEL', k[5], id)
  redis.call('HDEL', k[6], id)
end

-- drop(stream, group, id): delete an entry that this group has acknowledged, unless another group still needs it.
function settle.drop(stream, group, id)
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local name = field(g, 'name')
    if name ~= group then
      if not settle.not_after(id, field(g, 'last-delivered-id')) then return end
      if #redis.call('XPENDING', stream, name, id, id, 1) > 0 then return end
    end
  end
  redis.call('XDEL', stream, id)
end
