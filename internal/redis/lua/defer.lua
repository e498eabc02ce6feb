-- defer: give a leased entry back, to be taken again later. KEYS: the subscription; then 7 its bytes, if they
-- are counted. ARGV: 1 group  2 id  3 token  4 ms to wait 5 what came of it: 'busy', the call never reached
-- the function; 'broken', we broke it off, and it may still commit: both were no attempt; else the failure as
-- a line of JSON.
-- Returns 1; 0 if it is not pending, or the token is not the newest.
local id, token = ARGV[2], ARGV[3]
if settle.standing(KEYS[1], ARGV[1], id) ~= 'pending' or not settle.holds(KEYS[5], id, token) then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
if redis.call('ZREM', KEYS[2], id) == 0 then return 0 end
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[4]), id)
if ARGV[5] == 'busy' or ARGV[5] == 'broken' then
  local attempts, since, newest, older = string.match(redis.call('HGET', KEYS[5], id), '^(%d+) (%d+)( %S+)(.*)$')
  redis.call('HSET', KEYS[5], id, (attempts - 1) .. ' ' .. since .. (ARGV[5] == 'broken' and newest or '') .. older)
else
  queue.note(KEYS, KEYS[7], id, ARGV[5])
end
return 1
