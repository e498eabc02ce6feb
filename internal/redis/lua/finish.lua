-- finish: settle calls that were answered. KEYS: the subscription; then the bytes of its stream, if they are counted; then the
-- stream of its callbacks, if there is one to make.
-- ARGV: 1 group  2 '1' if the bytes are counted: then the group is the stream's only one  3 how many calls, one if there is a
-- callback; then for each 4 id  5 token  6 bytes; then fields and values of the callback.
-- Returns for each 1; 0 if it was settled before; -1 if the token is not known. A callback is queued only with 1.
local group, counted = ARGV[1], ARGV[2] == '1'
local results, bytes = {}, 0

local function finish(id, token, size)
  if not settle.knows(KEYS[5], id, token) then
    local standing = settle.standing(KEYS[1], group, id)
    if standing == 'pending' then return -1 end
    if standing == 'settled' then settle.forget(KEYS, id) end
    return 0
  end
  local pending = redis.call('XACK', KEYS[1], group, id)
  settle.forget(KEYS, id)
  if pending == 0 then return 0 end
  if counted then
    bytes = bytes + size * redis.call('XDEL', KEYS[1], id)
  else
    settle.drop(KEYS[1], group, id)
  end
  return 1
end

local n = tonumber(ARGV[3])
for i = 0, n - 1 do results[i + 1] = finish(ARGV[4 + 3 * i], ARGV[5 + 3 * i], tonumber(ARGV[6 + 3 * i])) end
if bytes > 0 then queue.uncount(KEYS[7], KEYS[1], bytes) end
local callbacks = KEYS[counted and 8 or 7]
if callbacks and results[1] == 1 then redis.call('XADD', callbacks, '*', unpack(ARGV, 4 + 3 * n)) end
return results
