-- tick: queue the call for one tick of a schedule, and move the cursor of the schedule, unless the cursor is
-- another one than the caller knows.
--
-- KEYS[1]    cron
-- KEYS[2]    the stream of the function's calls
-- KEYS[3]    its bytes
-- ARGV[1]    the record of the cursor that the caller knows
-- ARGV[2]    the record that takes its place
-- ARGV[3]    the most entries the stream may have
-- ARGV[4]    the most bytes
-- ARGV[5]    group
-- ARGV[6..]  fields and values
--
-- Returns
--   {'queued'}           also if this very call was queued before, and its answer was lost
--   {'changed', record}  the cursor is another one; '' is none, and 'unreadable' is no string
--   {'nogroup'}          nobody would deliver it
--   {'full'}
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'table' then kept = 'unreadable' end
kept = kept or ''
if kept == ARGV[2] then return {'queued'} end
if kept ~= ARGV[1] then return {'changed', kept} end
if redis.pcall('XPENDING', KEYS[2], ARGV[5]).err then return {'nogroup'} end
local size = 0
for i = 6, #ARGV do size = size + #ARGV[i] end
local length, bytes = redis.call('XLEN', KEYS[2]), tonumber(redis.call('GET', KEYS[3]) or '0')
if length >= tonumber(ARGV[3]) or bytes + size > tonumber(ARGV[4]) then return {'full'} end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 6))
redis.call('INCRBY', KEYS[3], size)
redis.call('SET', KEYS[1], ARGV[2])
return {'queued'}
