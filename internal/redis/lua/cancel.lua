-- cancel: take queued calls with a call id out of a function's own calls, some entries at a time, and free
-- their keys.
-- KEYS: the subscription; then 7 its bytes  8 its keys  9 its ended keys. ARGV: 1 group  2 call id  3 the id
-- to begin behind, or '-' 4 how many entries to look at, at most  5 the id of the only one that is meant, or
-- ''.
-- Returns {the id to go on behind, '' at the end; ids of those cancelled; ids of those that are dead letters,
-- which stay}.
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
