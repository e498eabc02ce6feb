-- cancel: delete queued calls with a call id from a function's own calls, some
-- entries at a time, and free their Idempotency-Keys.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes
-- KEYS[8..9]  its Idempotency-Keys, and those of ended calls
-- KEYS[10]    the record of calls
-- ARGV[1]     group
-- ARGV[2]     call id
-- ARGV[3]     the id to begin behind, or '-'
-- ARGV[4]     how many entries to look at, at most
-- ARGV[5]     the id of the only entry that is meant, or ''
-- ARGV[6]     '1' to record them
--
-- Returns {the id to go on behind, '' at the end; ids of those cancelled; ids of dead letters, which stay}.
local from = ARGV[3] == '-' and '-' or '(' .. ARGV[3]
local entries
local count = queue.look_at(KEYS, KEYS[7], tonumber(ARGV[4]))
if ARGV[5] ~= '' then
  entries = redis.call('XRANGE', KEYS[1], ARGV[5], ARGV[5])
else
  entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', count)
end
local cancelled, dead, bytes = {}, {}, 0
for _, entry in ipairs(entries) do
  local id, fields = entry[1], entry[2]
  if queue.value(fields, 'call-id') == ARGV[2] then
    if redis.call('ZSCORE', KEYS[4], id) then
      dead[#dead + 1] = id
    else
      bytes = bytes + queue.weight(KEYS, id, fields)
      if ARGV[6] == '1' then queue.taken_back(KEYS, KEYS[10], id, fields, 'cancelled') end
      redis.call('XACK', KEYS[1], ARGV[1], id)
      redis.call('XDEL', KEYS[1], id)
      settle.forget(KEYS, id)
      queue.free(KEYS[8], KEYS[9], fields, id)
      cancelled[#cancelled + 1] = id
    end
  end
end
if bytes > 0 then queue.uncount(KEYS[7], KEYS[1], bytes) end
local last = ARGV[5] == '' and #entries == count and entries[#entries][1] or ''
return {last, cancelled, dead}
