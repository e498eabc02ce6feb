-- enqueue: accept a call, once for each key. KEYS: 1 stream  2 what the key was used for, if there is a key.
-- ARGV: 1 the most entries the stream may have  2 digest of the call  3 call id  4 ms to remember the key  5 group
-- 6 ... fields and values.
-- Returns {'queued', id} | {'same', the call id it was queued under} | {'other'} the key was used for another call | {'full'}
-- | {'nogroup'} nobody would deliver it.
if KEYS[2] then
  local was = redis.call('GET', KEYS[2])
  if was then
    local digest, call = string.match(was, '^(%S+) (.*)$')
    if digest == ARGV[2] then return {'same', call} end
    return {'other'}
  end
end
if redis.pcall('XPENDING', KEYS[1], ARGV[5]).err then return {'nogroup'} end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return {'full'} end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 6))
if KEYS[2] then redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4]) end
return {'queued', id}
