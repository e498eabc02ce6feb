-- finish: settle calls that were answered, and queue the callback.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes, if it is of a function's own calls or callbacks
-- KEYS[8..9]  of a function's own calls: their Idempotency-Keys, and those of ended calls
-- then        the stream of callbacks and its bytes, if there is a callback to queue
-- last        the record of calls
-- ARGV[1]     group
-- ARGV[2]     'calls' or 'callbacks' if it is of those: then the group is the stream's only one; else ''
-- ARGV[3]     how many calls; one if there is a callback
-- then        for each: id, token, bytes, the hash of its Idempotency-Key or '', and what to add to the
--             record of calls or ''
-- then        fields and values of the callback
--
-- Returns for each
--   code.done  settled now; only then is the callback queued
--   code.gone  settled before
--   code.lost  the token was never issued for it
local group, counted, own, n = ARGV[1], ARGV[2] ~= '', ARGV[2] == 'calls', tonumber(ARGV[3])
local results, ids, bytes = {}, {}, 0
for i = 1, n do ids[i] = ARGV[5 * i - 1] end
local records = redis.call('HMGET', KEYS[5], unpack(ids))

-- Those that are still pending, and known by their tokens: one command of each kind for all of them.
local pending = {}
for i, id in ipairs(ids) do
  if settle.among(records[i], ARGV[5 * i]) then
    pending[#pending + 1], bytes, results[i] = id, bytes + tonumber(ARGV[5 * i + 1]), code.done
  else
    local standing = settle.standing(KEYS[1], group, id)
    if standing == 'settled' then settle.forget(KEYS, id) end
    results[i] = standing == 'pending' and code.lost or code.gone
  end
end
if #pending > 0 then
  local acked = redis.call('XACK', KEYS[1], group, unpack(pending))
  if redis.call('ZREM', KEYS[2], unpack(pending)) < #pending then
    redis.call('ZREM', KEYS[3], unpack(pending))
    redis.call('ZREM', KEYS[4], unpack(pending))
  end
  redis.call('HDEL', KEYS[5], unpack(pending))
  local notes, failures = 0, {}
  if redis.call('EXISTS', KEYS[6]) == 1 then
    for i, text in ipairs(redis.call('HMGET', KEYS[6], unpack(pending))) do
      failures[pending[i]] = text or nil
      if counted and text then notes = notes + #text end
    end
    redis.call('HDEL', KEYS[6], unpack(pending))
  end
  if counted or #redis.call('XINFO', 'GROUPS', KEYS[1]) == 1 then
    local dropped = redis.call('XDEL', KEYS[1], unpack(pending))
    if counted then queue.uncount(KEYS[7], KEYS[1], math.floor(bytes * dropped / #pending) + notes) end
  else
    for _, id in ipairs(pending) do settle.drop(KEYS[1], group, id) end
  end
  if acked < #pending and n == 1 then results[1] = code.gone end
  local recorded = false
  for i = 1, n do
    local key, text = ARGV[5 * i + 2], ARGV[5 * i + 3]
    if results[i] == code.done and text ~= '' then
      settle.add_to_record(KEYS[#KEYS], ids[i], text, failures[ids[i]])
      recorded = true
    end
    if own and key ~= '' and results[i] == code.done then queue.remember(KEYS[8], KEYS[9], key, ids[i]) end
  end
  if recorded then settle.keep_record(KEYS[#KEYS]) end
end
local at = own and 10 or 7
if #ARGV > 3 + 5 * n and results[1] == code.done then
  queue.call_back(KEYS[at], KEYS[at + 1], {unpack(ARGV, 4 + 5 * n)})
end
return results
