-- schedule: replace the cursor of a function's schedule, unless it is another one than the caller knows.
--
-- KEYS[1]  cron
-- ARGV[1]  the record that the caller knows; '' is none
-- ARGV[2]  the record that takes its place
--
-- Returns the record that is there now; '' is none. A value that is no string is returned as 'unreadable'. A
-- caller that passes 'unreadable' replaces it.
local kept = redis.pcall('GET', KEYS[1])
if type(kept) == 'table' then kept = 'unreadable' end
kept = kept or ''
if kept ~= ARGV[1] or kept == ARGV[2] then return kept end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
