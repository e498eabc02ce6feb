-- commit: settle a message, change state and hand on, in one step. Follows
-- settle.lua; plan() and its helpers come between.
--
-- KEYS: the subscription's six keys if there is a message; then the script's keys in the order they were
--       declared; then the streams of the topics it may emit to, likewise; at last the subscription's record
--       of calls, if ARGV[9] is not ''.
-- ARGV: 1 message id, '' if there is none   2 group   3 token, '' if unknown
--       4 SHA-1 of the body, used without a token   5 args as JSON   6 call id   7 traceparent
--       8 messages to hand on, JSON [{topic, body}]   9 what to add to the record of calls, or ''
-- Returns {'committed', reply as JSON} | {'done'} no longer pending | {'refused', reason}
--       | {'nogroup'} | {'undelivered'} | {'forged'} | {'wrongtype', key}. Only the first case has written.
local function committed_body(stream, id)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if not entry then return nil end
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'body' then return entry[2][i + 1] end
  end
end

local id, group, token, digest = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if id ~= '' then
  local standing = settle.standing(KEYS[1], group, id)
  if standing == 'settled' then return {'done'} end
  if standing ~= 'pending' then return {standing} end
  if token ~= '' then
    if not settle.knows(KEYS[5], id, token) then return {'forged'} end
  else
    local body = committed_body(KEYS[1], id)
    if not body or redis.sha1hex(body) ~= digest then return {'forged'} end
  end
end
for i, want in ipairs(types) do
  local key = KEYS[offset + i]
  local is = redis.call('TYPE', key)['ok']
  if is ~= 'none' and is ~= want then return {'wrongtype', key} end
end

local apply, reply = plan()
if type(apply) ~= 'function' then return {'refused', reply or 'the plan returned no apply function'} end
for _, m in ipairs(cjson.decode(ARGV[8])) do hand_on(m.topic, m.body) end
local answer = (reply == nil or type(reply) == 'table' and next(reply) == nil) and '{}' or encode(reply)
local trace = {}
if ARGV[6] ~= '' then trace[1] = 'call-id' trace[2] = ARGV[6] end
if ARGV[7] ~= '' then trace[#trace + 1] = 'traceparent' trace[#trace + 1] = ARGV[7] end

planning = false
if id ~= '' then redis.call('XACK', KEYS[1], group, id) end
apply()
for _, m in ipairs(outbox) do
  redis.call('XADD', m[1], '*', 'body', m[2], 'content-type', 'application/json', unpack(trace))
end
if id ~= '' then
  if ARGV[9] ~= '' then
    settle.add_to_record(KEYS[#KEYS], id, ARGV[9], redis.call('HGET', KEYS[6], id))
    settle.keep_record(KEYS[#KEYS])
  end
  settle.drop(KEYS[1], group, id)
  settle.forget(KEYS, id)
end
return {'committed', answer}
