-- purge: delete dead letters, and free their Idempotency-Keys.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes, if they are counted
-- KEYS[8..9]  of a function's own calls: their Idempotency-Keys, and those of ended calls
-- last        the record of calls
-- ARGV[1]     group
-- ARGV[2]     '1' to record them
-- ARGV[3..]   ids
--
-- Returns how many.
local n, bytes = 0, 0
local counted, own = #KEYS > 7, #KEYS > 9
for i = 3, #ARGV do
  local id = ARGV[i]
  if redis.call('ZSCORE', KEYS[4], id) then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry and ARGV[2] == '1' then queue.taken_back(KEYS, KEYS[#KEYS], id, entry[2], 'dead') end
    if entry and counted then
      bytes = bytes + queue.weight(KEYS, id, entry[2])
      if own then queue.free(KEYS[8], KEYS[9], entry[2], id) end
    end
    redis.call('XACK', KEYS[1], ARGV[1], id)
    settle.drop(KEYS[1], ARGV[1], id)
    settle.forget(KEYS, id)
    n = n + 1
  end
end
if bytes > 0 then queue.uncount(KEYS[7], KEYS[1], bytes) end
return n
