-- defer: give a leased message back, to be taken again later.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes, if they are counted
-- ARGV[1]     group
-- ARGV[2]     id
-- ARGV[3]     token
-- ARGV[4]     ms to wait
-- ARGV[5]     how the attempt ended: 'busy', the call never reached the function; 'broken', we broke it off,
--             and it may still commit; else the failure as a line of JSON. The first two count as no attempt.
--
-- Returns code.done; code.gone if it is not pending or not leased, or the token is not the newest.
local id, token = ARGV[2], ARGV[3]
if settle.standing(KEYS[1], ARGV[1], id) ~= 'pending' or not settle.holds(KEYS[5], id, token) then
  return code.gone
end
if redis.call('ZREM', KEYS[2], id) == 0 then return code.gone end
redis.call('ZADD', KEYS[3], settle.now() + tonumber(ARGV[4]), id)
if ARGV[5] == 'busy' or ARGV[5] == 'broken' then
  local attempts, since, tokens = settle.record(redis.call('HGET', KEYS[5], id))
  if ARGV[5] == 'busy' then tokens = string.match(tokens, '^ %S+(.*)$') end
  redis.call('HSET', KEYS[5], id, settle.text(attempts - 1, since, tokens))
else
  queue.note(KEYS, KEYS[7], id, ARGV[5])
end
return code.done
