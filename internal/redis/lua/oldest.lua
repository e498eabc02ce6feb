-- oldest: for how long the first message that the group has not read has been on
-- the stream. It writes nothing.
--
-- KEYS[1..6]  the subscription, see settle.lua
-- ARGV[1]     group
--
-- Returns ms; 0 if there is no such message, or no such group.
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return 0 end
for _, g in ipairs(groups) do
  if field(g, 'name') == ARGV[1] then
    local first = redis.call('XRANGE', KEYS[1], '(' .. field(g, 'last-delivered-id'), '+', 'COUNT', 1)[1]
    if not first then return 0 end
    return math.max(0, settle.now() - tonumber(string.match(first[1], '^%d+')))
  end
end
return 0
