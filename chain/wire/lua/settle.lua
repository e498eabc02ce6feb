-- settle: what becomes of one message of one subscription. It stands before every script that works on a
-- subscription: a function's commit, and the scripts of the platform's dispatcher.
--
-- A subscription has six keys, in this order:
--   KEYS[1] stream      the messages
--   KEYS[2] leased      zset id -> the ms at which the lease ends; 0 if it was ended
--   KEYS[3] due         zset id -> the ms from which it may be taken again
--   KEYS[4] dead        zset id -> the ms at which it became a dead letter
--   KEYS[5] deliveries  hash id -> its record, see settle.record
--   KEYS[6] failures    hash id -> JSON lines, one for each failed attempt, the oldest first
-- A pending id is in exactly one of leased, due and dead.
--
-- The calls that have ended are on a stream beside them, the record. Its ids are the ms at which they ended,
-- and its entries have the fields
--   i  the id that the message had
--   r  a JSON object; see package calls of the platform
--   f  its failed attempts, as in KEYS[6]; '' if there were none
-- The oldest are dropped beyond settle.most_recorded, and after a day. The platform bounds all records
-- together.
local settle = {
  most_recorded = 100000,
  recorded_for = 86400000, -- ms
}

-- What a script answers about one message. Others have text: each script says which.
local code = {
  done = 1,  -- it did what was asked
  gone = 0,  -- the message is not pending any more, or not in the state that the script works on
  lost = -1, -- the token is not the one that may do this
}

-- settle.now(): ms since 1970, by Redis's clock.
function settle.now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A reply of XINFO is a flat list of names and values.
local function field(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then return list[i + 1] end
  end
end

-- settle.record(text): a delivery record "ATTEMPTS SINCE TOKEN TOKEN ...", or false
-- if there is none. Returns the attempts; the ms of the first delivery, as text, '0'
-- if there was none; and the tokens, the newest first, each with a space before it.
function settle.record(text)
  local attempts, since, tokens = string.match(text or '', '^(%d+) (%d+)(.*)$')
  return tonumber(attempts or '0'), since or '0', tokens or ''
end

-- settle.text(attempts, since, tokens): a delivery record.
function settle.text(attempts, since, tokens) return attempts .. ' ' .. since .. tokens end

-- settle.newest(text): the newest token of a delivery record, or nil.
function settle.newest(text) return text and string.match(text, '^%d+ %d+ (%S+)') end

-- settle.issued_by(token, instance): did this instance take the delivery? A token is "INSTANCE:RANDOM".
function settle.issued_by(token, instance) return string.sub(token, 1, #instance + 1) == instance .. ':' end

-- settle.is_newest(text, token): is this token the newest of a delivery record, which may be false?
function settle.is_newest(text, token) return #token >= 16 and settle.newest(text) == token end

-- settle.holds(deliveries, id, token): is this token the newest of this message?
function settle.holds(deliveries, id, token)
  return settle.is_newest(redis.call('HGET', deliveries, id), token)
end

-- settle.among(text, token): is this token among those of a delivery record, which may be false?
function settle.among(text, token)
  return text ~= false and #token >= 16 and string.find(text .. ' ', ' ' .. token .. ' ', 1, true) ~= nil
end

-- settle.knows(deliveries, id, token): was this token ever issued for this message?
function settle.knows(deliveries, id, token)
  return settle.among(redis.call('HGET', deliveries, id), token)
end

-- settle.not_after(a, b): stream id a <= stream id b. Their parts are unsigned 64 bit numbers, more than a
-- Lua number holds, so they are compared as text. "5" is "5-0".
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

-- settle.standing(stream, group, id): 'pending'; 'settled', it was pending once; 'undelivered', not yet; or
-- 'nogroup'.
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

-- settle.forget(subscription's keys, id): drop the notes about a message that is not pending any more.
function settle.forget(k, id)
  redis.call('ZREM', k[2], id)
  redis.call('ZREM', k[3], id)
  redis.call('ZREM', k[4], id)
  redis.call('HDEL', k[5], id)
  redis.call('HDEL', k[6], id)
end

-- settle.add_to_record(record, id, text, failures): a message has ended. Then comes
-- settle.keep_record, once for all of them.
function settle.add_to_record(record, id, text, failures)
  redis.call(
    'XADD', record, 'MAXLEN', '~', settle.most_recorded, '*', 'i', id, 'r', text,
    'f', failures and string.sub(failures, -4096) or '')
end

-- settle.keep_record(record): it is forgotten a day from now, unless another message ends.
function settle.keep_record(record) redis.call('PEXPIRE', record, settle.recorded_for) end

-- settle.drop(stream, group, id): delete an entry that this group has
-- acknowledged, unless another group still needs it.
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
