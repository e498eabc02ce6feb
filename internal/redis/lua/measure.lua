-- measure: how many messages a stream has had and has, and how many a group of it has settled, at one moment.
-- It writes nothing.
--
-- KEYS[1]  the stream
-- KEYS[2]  the record of calls of the subscription
--
-- Returns {how many were ever added, how many there are, how many groups the stream has, how many were ever
-- recorded}; -1 instead of a number that this Redis does not count.
local function count(key, name)
  local info = redis.pcall('XINFO', 'STREAM', key)
  if info.err then return 0 end
  for i = 1, #info, 2 do
    if info[i] == name then return info[i + 1] end
  end
  return -1
end
return {
  count(KEYS[1], 'entries-added'), redis.call('XLEN', KEYS[1]), count(KEYS[1], 'groups'),
  count(KEYS[2], 'entries-added'),
}
