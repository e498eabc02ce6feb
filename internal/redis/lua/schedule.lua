-- schedule: keep what a function's schedule is, and from when on its ticks count. A function that was removed and
-- created again begins anew; an instance that comes late with an older schedule changes nothing.
--
-- KEYS[1]  cron
-- ARGV[1]  the schedule
-- ARGV[2]  the ms at which the function was created
-- ARGV[3]  the ms after which its ticks count, if this is new
--
-- Returns the ms of the last tick that is done.
local was = redis.call('HMGET', KEYS[1], 'schedule', 'created', 'since', 'last')
-- What is there may be anybody's: a time that is none, or that is yet to come, is not done with.
local function past(text)
  local ms, time = tonumber(text or ''), redis.call('TIME')
  return ms and ms <= time[1] * 1000 + 60000 and ms or 0
end
local since, last = tonumber(ARGV[3]), past(was[4])
if last > 0 and (was[1] == ARGV[1] and was[2] == ARGV[2] or past(was[3]) > since) then return last end
last = math.max(last, since)
redis.call('HSET', KEYS[1], 'schedule', ARGV[1], 'created', ARGV[2], 'since', ARGV[3], 'last', last)
return last
