-- acquire: take a lease, or renew it. An owner's later token replaces its earlier one. A value without an
-- expiry, or with one that no holder would give it, is nobody's lease.
--
-- KEYS[1]  the lease
-- ARGV[1]  owner
-- ARGV[2]  token
-- ARGV[3]  a note for people
-- ARGV[4]  ms
--
-- Returns {} if it is the owner's now, else {owner, note, ms until it ends} of the holder.
local value, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
if value and left > 0 and left <= 10 * tonumber(ARGV[4]) then
  local owner, note = string.match(value, '^(%S+) %S+ (.*)$')
  if owner and owner ~= ARGV[1] then return {owner, note, left} end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
return {}
