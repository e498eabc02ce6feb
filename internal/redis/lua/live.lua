-- live: unfinished calls of a subscription, the newest first, some entries at a time. It writes
-- nothing.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes, if they are counted
-- ARGV[1]     group
-- ARGV[2]     the id to begin before, or '+'
-- ARGV[3]     how many entries to look at, at most
-- ARGV[4]     the call id that is meant, or '' for all
-- ARGV[5]     the id of the only entry that is meant, or ''
--
-- Returns {the id to go on before, '' at the end; for each {id, state, score, delivery record, last failure,
-- fields without the body and the headers}}. score is that of the entry in the set of its state: ms; '0' for
-- a queued one.
local last = ''
for _, g in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if field(g, 'name') == ARGV[1] then last = field(g, 'last-delivered-id') end
end
if last == '' then return {'', {}} end
local count, entries = 50, nil
if KEYS[7] then count = queue.look_at(KEYS, KEYS[7], tonumber(ARGV[3])) end
if ARGV[5] ~= '' then
  entries = redis.call('XRANGE', KEYS[1], ARGV[5], ARGV[5])
else
  entries = redis.call('XREVRANGE', KEYS[1], ARGV[2] == '+' and '+' or '(' .. ARGV[2], '-', 'COUNT', count)
end
local left_out = {body = true, header = true}
local found = {}
for _, entry in ipairs(entries) do
  local id, fields = entry[1], entry[2]
  if ARGV[4] == '' or queue.value(fields, 'call-id') == ARGV[4] then
    local state, score
    for i, name in ipairs({'in_flight', 'delayed', 'dead'}) do
      score = score or redis.call('ZSCORE', KEYS[i + 1], id)
      if score and not state then state = name end
    end
    if not state and not settle.not_after(id, last) then state, score = 'queued', '0' end
    if state then
      local record = redis.call('HGET', KEYS[5], id) or ''
      if state == 'delayed' and record ~= '' then state = 'retrying' end
      local failures, kept = redis.call('HGET', KEYS[6], id), {}
      for i = 1, #fields, 2 do
        if not left_out[fields[i]] then kept[#kept + 1], kept[#kept + 2] = fields[i], fields[i + 1] end
      end
      found[#found + 1] = {id, state, score, record, failures and string.sub(failures, -4096) or '', kept}
    end
  end
end
return {ARGV[5] == '' and #entries == count and entries[#entries][1] or '', found}
