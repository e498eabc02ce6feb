-- tick: queue the call for one tick of a schedule, unless that or a later one was queued before.
--
-- KEYS[1]    cron
-- KEYS[2]    the stream of the function's calls
-- KEYS[3]    its bytes
-- ARGV[1]    the schedule
-- ARGV[2]    the tick, ms
-- ARGV[3]    call id
-- ARGV[4]    the most entries the stream may have
-- ARGV[5]    the most bytes
-- ARGV[6]    group
-- ARGV[7..]  fields and values
--
-- Returns
--   'queued'   also if this very call was queued before, and its answer was lost
--   'past'     this tick or a later one was queued before
--   'other'    the function has another schedule, or none
--   'nogroup'  nobody would deliver it
--   'full'
local was = redis.call('HMGET', KEYS[1], 'schedule', 'last', 'call')
if was[1] ~= ARGV[1] then return 'other' end
local time, last = tonumber(ARGV[2]), tonumber(was[2] or '')
if not last or last > time + 86400000 then last = 0 end -- no hearth has written that
if time == last and was[3] == ARGV[3] then return 'queued' end
if time <= last then return 'past' end
if redis.pcall('XPENDING', KEYS[2], ARGV[6]).err then return 'nogroup' end
local size = 0
for i = 7, #ARGV do size = size + #ARGV[i] end
local length, bytes = redis.call('XLEN', KEYS[2]), tonumber(redis.call('GET', KEYS[3]) or '0')
if length >= tonumber(ARGV[4]) or bytes + size > tonumber(ARGV[5]) then return 'full' end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 7))
redis.call('INCRBY', KEYS[3], size)
redis.call('HSET', KEYS[1], 'last', ARGV[2], 'call', ARGV[3])
return 'queued'
