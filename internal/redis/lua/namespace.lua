-- namespace: create, update or delete a namespace.
--
-- KEYS[1]  namespaces
-- KEYS[2]  functions
-- KEYS[3]  secrets
-- ARGV[1]  'create', 'update' or 'delete'
-- ARGV[2]  the namespace
-- ARGV[3]  its record
-- ARGV[4]  a record that is not used: a namespace with it counts as missing
--
-- Returns {done, functions, secrets}: done is 0 if there is one to create, none to
-- update or delete, or something in one to delete, and then the others say how
-- many. A create is done again if it is the same: its answer may have been lost.
local kept = redis.call('HGET', KEYS[1], ARGV[2])
if kept and kept == ARGV[4] and ARGV[1] ~= 'delete' then kept = false end
if ARGV[1] == 'create' then
  if kept and kept ~= ARGV[3] then return {0, 0, 0} end
elseif not kept then
  return {0, 0, 0}
end
if ARGV[1] ~= 'delete' then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
  return {1, 0, 0}
end
local functions, secrets = 0, 0
for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(name, -#ARGV[2] - 1) == '.' .. ARGV[2] then functions = functions + 1 end
end
for _, name in ipairs(redis.call('HKEYS', KEYS[3])) do
  if string.sub(name, 1, #ARGV[2] + 1) == ARGV[2] .. '/' then secrets = secrets + 1 end
end
if functions + secrets > 0 then return {0, functions, secrets} end
redis.call('HDEL', KEYS[1], ARGV[2])
return {1, 0, 0}
