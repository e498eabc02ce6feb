-- state: what has become of a function's own call that was queued after an entry. It writes nothing.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- KEYS[7]     its bytes
-- ARGV[1]     call id
-- ARGV[2]     the id of an entry before it
-- ARGV[3]     how many entries to look at, at most
--
-- Returns 'queued', 'in-flight', 'delayed' or 'dead'; 'ended' if it is gone; 'unknown' if there are too many
-- entries to tell.
local count = queue.look_at(KEYS, KEYS[7], tonumber(ARGV[3]))
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', count)
for _, entry in ipairs(entries) do
  if queue.value(entry[2], 'call-id') == ARGV[1] then return queue.state(KEYS, entry[1]) end
end
return #entries == count and 'unknown' or 'ended'
