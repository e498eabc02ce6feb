-- oldest: for how long the first entry that the group has not read has been on the stream. It looks and writes nothing.
-- KEYS: the subscription. ARGV: 1 group.
-- Returns ms; 0 if there is no such entry, or no such group.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return 0 end
for _, g in ipairs(groups) do
  if field(g, 'name') == ARGV[1] then
    local first = redis.call('XRANGE', KEYS[1], '(' .. field(g, 'last-delivered-id'), '+', 'COUNT', 1)[1]
    if not first then return 0 end
    local t = redis.call('TIME')
    local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
    return math.max(0, now - tonumber(string.match(first[1], '^%d+')))
  end
end
return 0
