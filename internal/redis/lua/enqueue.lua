-- enqueue: accept a call, once for each key. KEYS: 1 stream  2 its bytes  3 its dead letters  4 what the key was used for, if
-- there is a key.
-- ARGV: 1 the most entries the stream may have  2 the most bytes  3 digest of the call  4 call id  5 ms to remember the key
-- 6 group  7 ... fields and values.
-- Returns {'queued', id} | {'same', the call id it was queued under} | {'other'} the key was used for another call
-- | {'full', entries, bytes, dead letters among them} | {'nogroup'} nobody would deliver it.
if KEYS[4] then
  local was = redis.call('GET', KEYS[4])
  if was then
    local digest, call = string.match(was, '^(%S+) (.*)$')
    if digest == ARGV[3] then return {'same', call} end
    return {'other'}
  end
end
if redis.pcall('XPENDING', KEYS[1], ARGV[6]).err then return {'nogroup'} end
local size = 0
for i = 7, #ARGV do size = size + #ARGV[i] end
local length, bytes = redis.call('XLEN', KEYS[1]), tonumber(redis.call('GET', KEYS[2]) or '0')
if length >= tonumber(ARGV[1]) or bytes + size > tonumber(ARGV[2]) then
  return {'full', tostring(length), tostring(bytes), tostring(redis.call('ZCARD', KEYS[3]))}
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 7))
redis.call('INCRBY', KEYS[2], size)
if KEYS[4] then redis.call('SET', KEYS[4], ARGV[3] .. ' ' .. ARGV[4], 'PX', ARGV[5]) end
return {'queued', id}
