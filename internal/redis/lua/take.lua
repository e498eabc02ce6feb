-- take: lease what may be delivered now: messages whose lease ran out, those that are due, and new ones.
--
-- KEYS[1..6]    the subscription, see settle.lua
-- KEYS[7]       its bytes, if they are counted
-- KEYS[8..9]    of a function's own calls: their Idempotency-Keys, and those of ended calls
-- KEYS[10..15]  of a function's own calls: the subscription of their callbacks
-- KEYS[16]      the bytes of the callbacks
-- KEYS[last]    the pause; while it is there, nothing is taken
-- ARGV[1]       group
-- ARGV[2]       consumer
-- ARGV[3]       how many
-- ARGV[4]       the lease, ms
-- ARGV[5]       the instance
-- ARGV[6]       a random seed for the tokens
-- ARGV[7]       the most bytes that callbacks may have; '' if there is no limit. When they have more, dead
--               ones are dropped. If that is not enough, nothing is taken, as each call may leave one more
-- ARGV[8]       ms for which leases that ran out are left to their holders, which may have been unable to
--               renew them; usually 0
--
-- Returns {entries, next, drained, last, dropped}
--   entries  {id, attempt, since, token, fields, or false if the entry is gone} each
--   next     ms until something else may be taken; -1 if nothing will
--   drained  1 if nothing is queued now; 2 if nothing is taken, as there are too many callbacks; 3 if
--            nothing is taken, as it is paused; else 0
--   last     the id up to which the group has read, if drained
--   dropped  dead callbacks that were dropped
-- Errors NOGROUP if there is no such group.
local now = settle.now()
local group, room, lease = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local patience = tonumber(ARGV[8])
local bytes = #KEYS > 7 and KEYS[7] or nil -- those of a topic are not counted
local entries = {}
-- entries with a time to come, or for another group, that one take sets aside, so that it does not take long
local most_parked = 2000

-- hold(list): lease entries {id, fields or false}, with one command of each kind for all of them.
local function hold(list)
  if #list == 0 then return end
  local ids, issued, leases = {}, {}, {}
  for i, e in ipairs(list) do ids[i] = e[1] end
  local was = redis.call('HMGET', KEYS[5], unpack(ids))
  for i, e in ipairs(list) do
    local attempts, since, older = settle.record(was[i])
    if since == '0' then since = string.format('%.0f', now) end
    local token = ARGV[5] .. ':' .. redis.sha1hex(ARGV[6] .. e[1])
    issued[2 * i - 1], issued[2 * i] = e[1], settle.text(attempts + 1, since, ' ' .. token .. older)
    leases[2 * i - 1], leases[2 * i] = now + lease, e[1]
    entries[#entries + 1] = {e[1], attempts + 1, tonumber(since), token, e[2]}
  end
  redis.call('HSET', KEYS[5], unpack(issued))
  redis.call('ZADD', KEYS[2], unpack(leases))
  room = room - #list
end

-- skip(id, fields): is the entry not for this group? Then the group is done with it.
local function skip(id, fields)
  if bytes or not fields or not queue.foreign(fields, group) then return false end
  redis.call('XACK', KEYS[1], group, id)
  settle.drop(KEYS[1], group, id)
  settle.forget(KEYS, id)
  return true
end

redis.call('XPENDING', KEYS[1], group) -- an error if there is no such group
if redis.call('EXISTS', KEYS[#KEYS]) == 1 then return {{}, -1, 3, '0-0', 0} end

local made_room = 0
if ARGV[7] ~= '' then
  local over = tonumber(redis.call('GET', KEYS[16]) or '0') - tonumber(ARGV[7])
  if over >= 0 then
    made_room = queue.drop_dead({unpack(KEYS, 10, 15)}, KEYS[16], group, 0, over + 1)
    over = tonumber(redis.call('GET', KEYS[16]) or '0') - tonumber(ARGV[7])
  end
  if over >= 0 then return {{}, 1000, 2, '0-0', made_room} end
end

for _, set in ipairs({KEYS[2], KEYS[3]}) do
  if room > 0 then
    local again = {}
    local upto = set == KEYS[2] and patience > 0 and 0 or now -- a lease that was ended has the score 0
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', upto, 'LIMIT', 0, room)) do
      local ended = tonumber(redis.call('ZSCORE', set, id))
      redis.call('ZREM', set, id)
      if set == KEYS[2] and ended > 0 then
        queue.lapsed(KEYS, bytes, id, ended, 'its lease ran out before an outcome was known')
      end
      local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
      if not skip(id, entry and entry[2]) then again[#again + 1] = {id, entry and entry[2]} end
    end
    hold(again)
  end
end

local drained = 0
while room > 0 and drained == 0 and most_parked > 0 do
  local asked = room
  local read = redis.call('XREADGROUP', 'GROUP', group, ARGV[2], 'COUNT', asked, 'STREAMS', KEYS[1], '>')
  local found, fresh = read and read[1][2] or {}, {}
  for _, entry in ipairs(found) do
    local at = queue.deliver_at(entry[2])
    if skip(entry[1], entry[2]) then
      most_parked = most_parked - 1
    elseif at > now then
      redis.call('ZADD', KEYS[3], at, entry[1])
      most_parked = most_parked - 1
    else
      fresh[#fresh + 1] = entry
    end
  end
  hold(fresh)
  if #found < asked then drained = 1 end
end

local next = -1
for _, set in ipairs({KEYS[2], KEYS[3]}) do
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(set == KEYS[2] and patience or 0, tonumber(first[2]) - now)
    if next < 0 or wait < next then next = wait end
  end
end
local last = '0-0'
if drained == 1 then
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    if field(g, 'name') == group then last = field(g, 'last-delivered-id') end
  end
end
return {entries, next, drained, last, made_room}
