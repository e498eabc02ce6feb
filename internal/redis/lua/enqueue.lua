-- enqueue: accept a call, once for each key. KEYS: 1 stream  2 its bytes  3 its dead letters  4 what the key was used for, if
-- there is a key.
-- ARGV: 1 the most entries the stream may have  2 the most bytes  3 digest of the call  4 call id  5 ms to remember the key
-- 6 group  7 ... fields and values.
-- Returns {'queued', id} | {'same', the call id it was queued under} | {'other'} the key was used for another call
-- | {'full', entries, bytes, dead letters among them} | {'nogroup'} there is no queue.
if KEYS[4] then
  local was = redis.call('GET', KEYS[4])
  if was then
    local digest, call = string.match(was, '^(%S+) (.*)$')
    if digest == ARGV[3] then return {'same', call} end
    return {'other'}
  end
end
local length, size = redis.call('XLEN', KEYS[1]), 0
for i = 7, #ARGV do size = size + #ARGV[i] end
local bytes = redis.call('INCRBY', KEYS[2], size)
local id = length < tonumber(ARGV[1]) and bytes <= tonumber(ARGV[2]) and redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', unpack(ARGV, 7))
if id then
  if KEYS[4] then redis.call('SET', KEYS[4], ARGV[3] .. ' ' .. ARGV[4], 'PX', ARGV[5]) end
  return {'queued', id}
end
if redis.call('DECRBY', KEYS[2], size) == 0 then redis.call('DEL', KEYS[2]) end
if redis.pcall('XPENDING', KEYS[1], ARGV[6]).err then return {'nogroup'} end
return {'full', tostring(length), string.format('%.0f', bytes - size), tostring(redis.call('ZCARD', KEYS[3]))}
