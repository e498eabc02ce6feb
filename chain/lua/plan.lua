-- plan: what a step's script sees. Follows the tables that Go writes: names,
-- types and topics of the declared keys.
local planning = true
local offset = ARGV[1] ~= '' and 6 or 0
local args = cjson.decode(ARGV[5])
local now = settle.now()
local keys, streams = {}, {}
for i, name in ipairs(names) do keys[name] = KEYS[offset + i] end
for i, topic in ipairs(topics) do streams[topic] = KEYS[offset + #names + i] end

local function encode(value)
  local text = cjson.encode(value)
  if type(text) ~= 'string' then error('a value that has no JSON') end
  return text
end

-- emit(topic, message): hand on a message to a declared topic. It is made in the plan, where a mistake does
-- no harm, and put on its stream after the apply half.
local outbox = {}
local function hand_on(topic, body)
  if not planning then error('emit in the apply half: decide in the plan what to hand on') end
  if not streams[topic] then error('emit to ' .. topic .. ', which is not declared') end
  outbox[#outbox + 1] = {streams[topic], body}
end
local function emit(topic, message) hand_on(topic, encode(message)) end

-- return refuse(reason) ends the plan: nothing is written.
local function refuse(reason) return nil, reason end

-- Until the plan has ended, redis.call lets only reads pass: a plan that fails has written nothing.
local reads = {
  EXISTS = true, GET = true, GETRANGE = true, HEXISTS = true, HGET = true, HGETALL = true, HKEYS = true,
  HLEN = true, HMGET = true, HSTRLEN = true, HVALS = true, LINDEX = true, LLEN = true, LRANGE = true,
  MGET = true, PTTL = true, SCARD = true, SISMEMBER = true, SMEMBERS = true, SMISMEMBER = true,
  STRLEN = true, TIME = true, TTL = true, TYPE = true, XINFO = true, XLEN = true, XPENDING = true,
  XRANGE = true, XREVRANGE = true, ZCARD = true, ZCOUNT = true, ZLEXCOUNT = true, ZMSCORE = true,
  ZRANGE = true, ZRANGEBYLEX = true, ZRANGEBYSCORE = true, ZRANK = true, ZREVRANGE = true, ZREVRANK = true,
  ZSCORE = true,
}
local raw = redis.call
local redis = {sha1hex = redis.sha1hex, call = function(command, ...)
  if planning and not reads[string.upper(command)] then
    error(command .. ' in the plan: write in the function that the plan returns')
  end
  return raw(command, ...)
end}
