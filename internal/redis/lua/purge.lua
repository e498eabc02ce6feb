-- purge: throw dead letters away. KEYS: the subscription; then the bytes of its stream, if they are counted.
-- ARGV: 1 group, then ids. Returns how many it did.
local n, bytes = 0, 0
for i = 2, #ARGV do
  local id = ARGV[i]
  if redis.call('ZSCORE', KEYS[4], id) then
    local entry = KEYS[7] and redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then bytes = bytes + queue.size(entry[2]) end
    redis.call('XACK', KEYS[1], ARGV[1], id)
    settle.drop(KEYS[1], ARGV[1], id)
    settle.forget(KEYS, id)
    n = n + 1
  end
end
if bytes > 0 then queue.uncount(KEYS[7], KEYS[1], bytes) end
return n
