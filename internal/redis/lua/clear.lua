-- clear: delete what is not in flight from a function's own calls or callbacks,
-- some entries at a time, and free its Idempotency-Keys.
--
-- KEYS        as in purge.lua; KEYS[7] is always there
-- last        the record of calls
-- ARGV[1]     group
-- ARGV[2]     the id to begin behind, or '-'
-- ARGV[3]     the last id to look at
-- ARGV[4]     how many entries to look at, at most
-- ARGV[5]     '1' for those that may be delivered now, or wait for a retry
-- ARGV[6]     '1' for those whose time has not come
-- ARGV[7]     '1' to record them
--
-- Returns {the id to go on behind, '' at the end; how many of the first kind; and of the second}.
local from = ARGV[2] == '-' and '-' or '(' .. ARGV[2]
local count = queue.look_at(KEYS, KEYS[7], tonumber(ARGV[4]))
local entries = redis.call('XRANGE', KEYS[1], from, ARGV[3], 'COUNT', count)
local now, taken, bytes = settle.now(), {0, 0}, 0
for _, entry in ipairs(entries) do
  local id, fields = entry[1], entry[2]
  if not redis.call('ZSCORE', KEYS[2], id) and not redis.call('ZSCORE', KEYS[4], id) then
    local kind = 1
    if queue.deliver_at(fields) > now and redis.call('HEXISTS', KEYS[5], id) == 0 then kind = 2 end
    if ARGV[4 + kind] == '1' then
      bytes = bytes + queue.weight(KEYS, id, fields)
      if ARGV[7] == '1' then queue.taken_back(KEYS, KEYS[#KEYS], id, fields, 'cancelled') end
      redis.call('XACK', KEYS[1], ARGV[1], id)
      redis.call('XDEL', KEYS[1], id)
      settle.forget(KEYS, id)
      if KEYS[9] then queue.free(KEYS[8], KEYS[9], fields, id) end
      taken[kind] = taken[kind] + 1
    end
  end
end
if bytes > 0 then queue.uncount(KEYS[7], KEYS[1], bytes) end
local last = #entries == count and entries[#entries][1] or ''
return {last, taken[1], taken[2]}
