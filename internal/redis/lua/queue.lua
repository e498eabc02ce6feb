-- queue: what the scripts of a function's own calls share. Follows settle.lua.
local queue = {}

-- uncount(key, stream, bytes): entries of so many bytes are gone. An empty stream has none, whatever was counted.
function queue.uncount(key, stream, bytes)
  if redis.call('DECRBY', key, bytes) <= 0 or redis.call('XLEN', stream) == 0 then redis.call('DEL', key) end
end

-- size(fields): the bytes of an entry, as they were counted when it was accepted.
function queue.size(fields)
  local n = 0
  for _, text in ipairs(fields) do n = n + #text end
  return n
end

-- note(failures, id, line): one more failed attempt of an entry. Of one that is redriven for ever, the latest are kept.
function queue.note(failures, id, line)
  local text = (redis.call('HGET', failures, id) or '') .. line .. '\n'
  if #text > 131072 then text = string.match(string.sub(text, -65536), '\n(.+)$') or line .. '\n' end
  redis.call('HSET', failures, id, text)
end

-- lapsed(subscription's keys, id, ms, reason): an attempt ended then, and nobody can tell how.
function queue.lapsed(k, id, ms, reason)
  local attempt = string.match(redis.call('HGET', k[5], id) or '', '^%d+')
  if attempt then queue.note(k[6], id, string.format('{"attempt":%s,"ms":%.0f,"reason":"%s"}', attempt, ms, reason)) end
end
