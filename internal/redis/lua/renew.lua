-- renew: extend leases, also those that have run out, as long as nobody else has taken the message.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- ARGV[1]     group
-- ARGV[2]     the lease, ms from now on
-- ARGV[3..]   id and token in turn
--
-- Returns for each
--   code.done  the lease goes on
--   code.gone  the message was settled or cancelled
--   code.lost  another holder has taken it, or it was given back
local ids, results, leases = {}, {}, {}
for i = 3, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local leased = redis.call('ZMSCORE', KEYS[2], unpack(ids))
local records = redis.call('HMGET', KEYS[5], unpack(ids))
local ends = settle.now() + tonumber(ARGV[2])
for i, id in ipairs(ids) do
  if leased[i] and settle.is_newest(records[i], ARGV[2 * i + 2]) then
    leases[#leases + 1], leases[#leases + 2], results[i] = ends, id, code.done
  else
    results[i] = settle.standing(KEYS[1], ARGV[1], id) == 'settled' and code.gone or code.lost
  end
end
if #leases > 0 then redis.call('ZADD', KEYS[2], unpack(leases)) end
return results
