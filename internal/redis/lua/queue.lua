-- queue: what the scripts of a function's own calls share. Follows settle.lua.
--
-- A call with an Idempotency-Key is known by two more keys of its function:
--   keys   hash KEY -> "DIGEST ID REQUEST CALL-ID": the call that the key was used for, its entry, and the
--          request that queued it
--   ended  zset KEY -> the ms until which a call that has ended is remembered
-- A key that is not in ended belongs to a call that is on the stream. One whose entry is gone is free.
local queue = {
  window = 86400000,      -- ms for which a key outlives a call that has ended
  most_remembered = 10000, -- keys of ended calls that one function has; beyond it the oldest are forgotten
  key_bytes = 256,        -- what a key adds to the size of its call
}

-- uncount(key, stream, bytes): entries of so many bytes are gone. An empty stream has none, whatever was
-- counted.
function queue.uncount(key, stream, bytes)
  if redis.call('DECRBY', key, bytes) <= 0 or redis.call('XLEN', stream) == 0 then redis.call('DEL', key) end
end

-- size(fields): the bytes of an entry, as they were counted when it was accepted.
function queue.size(fields)
  local n = queue.value(fields, 'key') and queue.key_bytes or 0
  for _, text in ipairs(fields) do n = n + #text end
  return n
end

-- value(fields, name): a field's value, or nil.
function queue.value(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end

-- deliver_at(fields): the ms before which an entry must not be delivered. One that says it in a way that
-- cannot be read is delivered, so that whoever reads it says what is wrong.
function queue.deliver_at(fields)
  local at = queue.value(fields, 'deliver-at')
  return at and string.match(at, '^%d+$') and #at < 16 and tonumber(at) or 0
end

-- foreign(fields, group): is the entry for another group alone? Those of a topic may be.
function queue.foreign(fields, group)
  local only = queue.value(fields, 'only-group')
  return only ~= nil and only ~= group
end

-- state(subscription's keys, id): what has become of an entry: 'queued', 'in-flight', 'delayed' or 'dead';
-- nil if it is gone.
function queue.state(k, id)
  if redis.call('ZSCORE', k[4], id) then return 'dead' end
  if redis.call('ZSCORE', k[2], id) then return 'in-flight' end
  if redis.call('ZSCORE', k[3], id) then return 'delayed' end
  local entry = redis.call('XRANGE', k[1], id, id)[1]
  return entry and (queue.deliver_at(entry[2]) > settle.now() and 'delayed' or 'queued')
end

-- belongs(keys, key, id): does the key belong to this entry? An entry that somebody else has added may name
-- any key.
function queue.belongs(keys, key, id)
  return string.match(redis.call('HGET', keys, key) or '', '^%S+ (%S+)') == id
end

-- free(keys, ended, fields, id): an entry was taken back, so its key may be used again.
function queue.free(keys, ended, fields, id)
  local key = queue.value(fields, 'key')
  if key and queue.belongs(keys, key, id) then
    redis.call('HDEL', keys, key)
    redis.call('ZREM', ended, key)
  end
end

-- remember(keys, ended, key, id): a call has ended, so its key is known for a while longer.
function queue.remember(keys, ended, key, id)
  if not queue.belongs(keys, key, id) then return end
  redis.call('ZADD', ended, settle.now() + queue.window, key)
  queue.forget_keys(keys, ended, redis.call('ZCARD', ended) - queue.most_remembered)
end

-- forget_keys(keys, ended, n): forget some keys whose time is over, and the n oldest in any case, but not
-- more than a few at once.
-- Returns how many.
function queue.forget_keys(keys, ended, n)
  local old = redis.call('ZRANGEBYSCORE', ended, '-inf', settle.now(), 'LIMIT', 0, 20)
  if n > #old then old = redis.call('ZRANGE', ended, 0, math.min(n, 1000) - 1) end
  if #old > 0 then
    redis.call('HDEL', keys, unpack(old))
    redis.call('ZREM', ended, unpack(old))
  end
  return #old
end

-- drop_orphans(keys of own calls): forget keys whose calls are gone and have not ended, as after an XTRIM by
-- hand, or when an earlier version of this has settled them. With more keys than calls there must be some.
function queue.drop_orphans(k)
  if redis.call('HLEN', k[8]) <= redis.call('ZCARD', k[9]) + redis.call('XLEN', k[1]) then return end
  local cursor = '0'
  for _ = 1, 20 do
    local some = redis.call('HSCAN', k[8], cursor, 'COUNT', 500)
    cursor = some[1]
    for i = 1, #some[2], 2 do
      local id = string.match(some[2][i + 1], '^%S+ (%S+)')
      if not redis.call('ZSCORE', k[9], some[2][i]) and not (id and queue.state(k, id)) then
        redis.call('HDEL', k[8], some[2][i])
      end
    end
    if cursor == '0' then return end
  end
end

-- weight(subscription's keys, id, fields): all that is counted of an entry: its size, and what is noted of
-- its failures.
function queue.weight(k, id, fields)
  return queue.size(fields) + redis.call('HSTRLEN', k[6], id)
end

-- note(subscription's keys, bytes, id, line): one more failed attempt of an entry. Of one that is redriven
-- for ever, the latest are kept. bytes is where the subscription's bytes are counted; nil if they are not.
function queue.note(k, bytes, id, line)
  local was = redis.call('HGET', k[6], id) or ''
  local text = was .. line .. '\n'
  if #text > 131072 then text = string.match(string.sub(text, -65536), '\n(.+)$') or line .. '\n' end
  redis.call('HSET', k[6], id, text)
  if bytes then redis.call('INCRBY', bytes, #text - #was) end
end

-- lapsed(subscription's keys, bytes, id, ms, reason): an attempt ended then, and nobody can tell how.
function queue.lapsed(k, bytes, id, ms, reason)
  local record = redis.call('HGET', k[5], id)
  if not record then return end
  local attempt = settle.record(record)
  queue.note(k, bytes, id, string.format('{"attempt":%.0f,"ms":%.0f,"reason":"%s"}', attempt, ms, reason))
end

-- taken_back(subscription's keys, record, id, fields, state): a message ends without an answer, and the
-- record of calls says so. state is 'cancelled' or 'dead'.
function queue.taken_back(k, record, id, fields, state)
  local attempts, since = settle.record(redis.call('HGET', k[5], id))
  local text = cjson.encode({
    s = state, c = queue.value(fields, 'call-id'), p = queue.value(fields, 'traceparent'),
    m = queue.value(fields, 'method'), u = queue.value(fields, 'path'), a = attempts, b = tonumber(since),
  })
  settle.add_to_record(record, id, text, redis.call('HGET', k[6], id))
  settle.keep_record(record)
end

-- call_back(stream, bytes, fields): queue a callback. It is counted, and never refused: its call has been
-- made.
function queue.call_back(stream, bytes, fields)
  redis.call('XADD', stream, '*', unpack(fields))
  redis.call('INCRBY', bytes, queue.size(fields))
end

-- drop_dead(the callbacks' keys, bytes, group, n, size): throw away callbacks that were given up, the oldest
-- first, until there are n fewer, and so many bytes less, or none is left, but at most a hundred at once.
-- Returns how many.
function queue.drop_dead(k, bytes, group, n, size)
  local dropped, freed = 0, 0
  for _, id in ipairs(redis.call('ZRANGE', k[4], 0, 99)) do
    if dropped >= n and freed >= size then break end
    local entry = redis.call('XRANGE', k[1], id, id)[1]
    if entry then freed = freed + queue.weight(k, id, entry[2]) end
    redis.call('XACK', k[1], group, id)
    redis.call('XDEL', k[1], id)
    settle.forget(k, id)
    dropped = dropped + 1
  end
  if dropped > 0 then queue.uncount(bytes, k[1], freed) end
  return dropped
end

-- look_at(subscription's keys, bytes, most): how many entries to look at in one script, so that they have a
-- few megabytes at most.
function queue.look_at(k, bytes, most)
  local size = tonumber(redis.call('GET', bytes) or '0') / math.max(1, redis.call('XLEN', k[1]))
  return math.floor(math.max(1, math.min(most, 4194304 / math.max(1, size))))
end
