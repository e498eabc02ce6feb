-- bury: give an entry up. It stays pending. KEYS: the subscription, and the stream of its callbacks if there is one to make.
-- ARGV: 1 group  2 id  3 token  4 the failure as a line of JSON  5 ... fields and values of the callback.
-- Returns 1; 0 if it is not pending, or the token is not the newest.
local id = ARGV[2]
if settle.standing(KEYS[1], ARGV[1], id) ~= 'pending' or not settle.holds(KEYS[5], id, ARGV[3]) then return 0 end
if redis.call('ZREM', KEYS[2], id) == 0 then return 0 end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[4], tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000), id)
queue.note(KEYS[6], id, ARGV[4])
if KEYS[7] then redis.call('XADD', KEYS[7], '*', unpack(ARGV, 5)) end
return 1
