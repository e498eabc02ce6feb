-- edit: replace a dead letter by a copy with another body, which is queued. An entry of a stream cannot be
-- changed, so the copy is a new one at the end. It keeps all other fields but the time before which it was
-- not to be delivered, and the failures. On a topic it is for this group alone.
--
-- KEYS[1..6]    the subscription, see settle.lua
-- KEYS[7]       hash: what was edited lately, ID -> "ID-OF-THE-COPY DIGEST"
-- KEYS[8]       its bytes, if they are counted
-- KEYS[9]       the bytes that share their limit: a function's calls and its callbacks have one
-- KEYS[10..11]  of a function's own calls: their Idempotency-Keys, and those of ended calls
-- last          the record of calls
-- ARGV[1]       group
-- ARGV[2]       id
-- ARGV[3]       digest of the edit
-- ARGV[4]       the most bytes that KEYS[8] and KEYS[9] may have, should the copy have more than the letter
-- ARGV[5]       the body
-- ARGV[6]       the content type; '' leaves it as it is
-- ARGV[7]       '1' to record the dead letter, which ends
--
-- Returns
--   {'edited', id of the copy}  also if this very edit was made before, and its answer was lost
--   {'other', id of the copy}   it was edited before, in another way
--   {'none'}                    there is no such dead letter
--   {'gone'}                    its entry is gone from the stream
--   {'full', bytes}
local group, id = ARGV[1], ARGV[2]
local remembered, day = 1000, 86400000 -- edits, and ms
local counted, own = #KEYS > 8, #KEYS > 10
local was = redis.call('HGET', KEYS[7], id)
if was then
  local copy, digest = string.match(was, '^(%S+) (%S+)$')
  return {digest == ARGV[3] and 'edited' or 'other', copy}
end
if not redis.call('ZSCORE', KEYS[4], id) then return {'none'} end
local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
if not entry then return {'gone'} end

local fields = {}
local function put(name, value) fields[#fields + 1], fields[#fields + 2] = name, value end
for i = 1, #entry[2], 2 do
  local name = entry[2][i]
  if name ~= 'body' and name ~= 'deliver-at' and name ~= 'only-group' and
    (name ~= 'content-type' or ARGV[6] == '') then
    put(name, entry[2][i + 1])
  end
end
put('body', ARGV[5])
if ARGV[6] ~= '' then put('content-type', ARGV[6]) end
if not counted then put('only-group', group) end
local notes = string.format('{"attempt":0,"ms":%.0f,"reason":"edited: it was the dead letter %s"}\n',
  settle.now(), id) .. (redis.call('HGET', KEYS[6], id) or '')

local grows = 0
if counted then
  grows = queue.size(fields) + #notes - queue.weight(KEYS, id, entry[2])
  local bytes = tonumber(redis.call('GET', KEYS[8]) or '0') + tonumber(redis.call('GET', KEYS[9]) or '0')
  if grows > 0 and bytes + grows > tonumber(ARGV[4]) then return {'full', string.format('%.0f', bytes)} end
end

local copy = redis.call('XADD', KEYS[1], '*', unpack(fields))
redis.call('HSET', KEYS[6], copy, notes)
if counted then redis.call('INCRBY', KEYS[8], grows) end
local key = own and queue.value(fields, 'key')
if key and queue.belongs(KEYS[10], key, id) then
  local call = redis.call('HGET', KEYS[10], key)
  redis.call('HSET', KEYS[10], key, (string.gsub(call, '^(%S+) %S+', '%1 ' .. copy)))
end
if ARGV[7] == '1' then queue.taken_back(KEYS, KEYS[#KEYS], id, entry[2], 'dead') end
redis.call('XACK', KEYS[1], group, id)
settle.drop(KEYS[1], group, id)
settle.forget(KEYS, id)
if redis.call('HLEN', KEYS[7]) >= remembered then redis.call('DEL', KEYS[7]) end
redis.call('HSET', KEYS[7], id, copy .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[7], day)
return {'edited', copy}
