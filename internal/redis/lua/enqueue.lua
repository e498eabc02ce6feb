-- enqueue: accept a call, once for each Idempotency-Key. Calls and callbacks have one limit. When it is
-- reached, dead callbacks make room, the oldest first.
--
-- KEYS[1..6]    the subscription of the calls, see settle.lua
-- KEYS[7]       its bytes
-- KEYS[8..9]    its Idempotency-Keys, and those of ended calls
-- KEYS[10..15]  the subscription of the callbacks
-- KEYS[16]      its bytes
-- KEYS[17]      what an earlier version noted of the key, if there is one
-- ARGV[1]       the most entries they may have
-- ARGV[2]       the most bytes they may have
-- ARGV[3]       group
-- ARGV[4]       the hash of the Idempotency-Key; '' if there is none
-- ARGV[5]       digest of the call
-- ARGV[6]       the request, random
-- ARGV[7]       call id
-- ARGV[8]       digest of the call as an earlier version made it
-- ARGV[9..]     fields and values
--
-- Returns
--   {'queued', id, dropped}             also if this very request was queued before, and its answer was lost;
--                                       dropped is how many callbacks made room
--   {'known', state, call id, id}       the call was queued before
--   {'other'}                           the key was used for another call
--   {'full', entries, bytes, dead letters, callbacks among the entries}
--   {'nogroup'}                         there is no queue
local key = ARGV[4]
if key ~= '' then
  local was = redis.call('HGET', KEYS[8], key)
  if was then
    local digest, id, request, call = string.match(was, '^(%S+) (%S+) (%S+) (.*)$')
    if request == ARGV[6] then return {'queued', id, '0'} end
    local ends, state = redis.call('ZSCORE', KEYS[9], key), nil
    if not ends then
      state = queue.state(KEYS, id)
    elseif tonumber(ends) > settle.now() then
      state = 'finished'
    end
    if state then
      if digest ~= ARGV[5] then return {'other'} end
      return {'known', state, call, id}
    end
  else
    was = redis.call('GET', KEYS[17])
    if was then
      local digest, call = string.match(was, '^(%S+) (.*)$')
      if digest ~= ARGV[8] then return {'other'} end
      return {'known', 'unknown', call, ''}
    end
  end
end
local size = key ~= '' and queue.key_bytes or 0
for i = 9, #ARGV do size = size + #ARGV[i] end
local callbacks = {unpack(KEYS, 10, 15)}
local most, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local bytes, made_room, length, waiting, held = redis.call('INCRBY', KEYS[7], size), 0, 0, 0, 0
local function fits()
  length, waiting = redis.call('XLEN', KEYS[1]), redis.call('XLEN', KEYS[10])
  held = tonumber(redis.call('GET', KEYS[16]) or '0')
  return length + waiting < most and bytes + held <= most_bytes
end
local room = fits()
if not room and waiting > 0 and most > 0 then
  made_room = queue.drop_dead(
    callbacks, KEYS[16], ARGV[3], length + waiting + 1 - most, bytes + held - most_bytes)
  room = made_room > 0 and fits()
end
local id = room and redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', unpack(ARGV, 9))
if id then
  if key ~= '' then
    queue.forget_keys(KEYS[8], KEYS[9], 0)
    redis.call('HSET', KEYS[8], key, table.concat({ARGV[5], id, ARGV[6], ARGV[7]}, ' '))
    redis.call('ZREM', KEYS[9], key)
    redis.call('PERSIST', KEYS[8])
    redis.call('PERSIST', KEYS[9])
  end
  return {'queued', id, tostring(made_room)}
end
if redis.call('DECRBY', KEYS[7], size) == 0 then redis.call('DEL', KEYS[7]) end
if redis.pcall('XPENDING', KEYS[1], ARGV[3]).err then return {'nogroup'} end
return {
  'full', tostring(length + waiting), string.format('%.0f', bytes - size + held),
  tostring(redis.call('ZCARD', KEYS[4])), tostring(waiting),
}
