-- finish: settle a call that was answered. KEYS: the subscription, and the stream of its callbacks if there is one to make.
-- ARGV: 1 group  2 id  3 token  4 ... fields and values of the callback.
-- Returns 1; 0 if it was settled before; -1 if the token is not known. A callback is queued only with 1.
local id = ARGV[2]
local standing = settle.standing(KEYS[1], ARGV[1], id)
if standing ~= 'pending' then
  if standing == 'settled' then settle.forget(KEYS, id) end
  return 0
end
if not settle.knows(KEYS[5], id, ARGV[3]) then return -1 end
redis.call('XACK', KEYS[1], ARGV[1], id)
settle.drop(KEYS[1], ARGV[1], id)
settle.forget(KEYS, id)
if KEYS[7] then redis.call('XADD', KEYS[7], '*', unpack(ARGV, 4)) end
return 1
