-- bury: make a message a dead letter. It stays pending.
--
-- KEYS        as in finish.lua
-- ARGV[1]     group
-- ARGV[2]     id
-- ARGV[3]     token
-- ARGV[4]     the failure as a line of JSON
-- ARGV[5]     'calls', 'callbacks' or '', as in finish.lua
-- ARGV[6..]   fields and values of the callback, if there is one to make
--
-- Returns code.done; code.gone if it is not pending or not leased, or the token is not the newest.
local id = ARGV[2]
if settle.standing(KEYS[1], ARGV[1], id) ~= 'pending' or not settle.holds(KEYS[5], id, ARGV[3]) then
  return code.gone
end
if redis.call('ZREM', KEYS[2], id) == 0 then return code.gone end
redis.call('ZADD', KEYS[4], settle.now(), id)
queue.note(KEYS, ARGV[5] ~= '' and KEYS[7] or nil, id, ARGV[4])
local at = ARGV[5] == 'calls' and 10 or 7
if #ARGV > 5 then queue.call_back(KEYS[at], KEYS[at + 1], {unpack(ARGV, 6)}) end
return code.done
