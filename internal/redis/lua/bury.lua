-- bury: give an entry up. It stays pending. KEYS, and ARGV 5: as in finish.lua.
-- ARGV: 1 group  2 id  3 token  4 the failure as a line of JSON  5 'calls', 'callbacks' or ''  6 ... fields
-- and values of the callback.
-- Returns 1; 0 if it is not pending, or the token is not the newest.
local id = ARGV[2]
if settle.standing(KEYS[1], ARGV[1], id) ~= 'pending' or not settle.holds(KEYS[5], id, ARGV[3]) then return 0 end
if redis.call('ZREM', KEYS[2], id) == 0 then return 0 end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[4], tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000), id)
queue.note(KEYS, ARGV[5] ~= '' and KEYS[7] or nil, id, ARGV[4])
local at = ARGV[5] == 'calls' and 10 or 7
if #ARGV > 5 then queue.call_back(KEYS[at], KEYS[at + 1], {unpack(ARGV, 6)}) end
return 1
