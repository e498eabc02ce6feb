-- renew: extend leases. A lease that has run out is extended too, as long as nobody else has taken the entry.
-- KEYS: the subscription. ARGV: 1 group  2 lease in ms, then id and token in turn.
-- Returns for each 1; 0 if the entry is not pending any more: it was settled or cancelled; -1 if the lease is
-- lost: the entry was taken by another holder, or given back.
local ids, results, leases = {}, {}, {}
for i = 3, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local leased = redis.call('ZMSCORE', KEYS[2], unpack(ids))
local issued = redis.call('HMGET', KEYS[5], unpack(ids))
local ends = queue.now() + tonumber(ARGV[2])
for i, id in ipairs(ids) do
  if leased[i] and settle.newest(issued[i], ARGV[2 * i + 2]) then
    leases[#leases + 1], leases[#leases + 2], results[i] = ends, id, 1
  else
    results[i] = settle.standing(KEYS[1], ARGV[1], id) == 'settled' and 0 or -1
  end
end
if #leases > 0 then redis.call('ZADD', KEYS[2], unpack(leases)) end
return results
