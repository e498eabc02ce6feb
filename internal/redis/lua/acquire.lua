-- acquire: take a lease, or let it go on. KEYS: 1 the lease.
-- ARGV: 1 owner  2 token  3 a note for people  4 ms. An owner's later token takes the place of its earlier one. What is there without
-- an end, or with one that no holder would give it, is nobody's lease.
-- Returns {} if it is ours now, else {owner, note, ms until it ends}.
local value, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
if value and left > 0 and left <= 10 * tonumber(ARGV[4]) then
  local owner, note = string.match(value, '^(%S+) %S+ (.*)$')
  if owner and owner ~= ARGV[1] then return {owner, note, left} end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return {}
