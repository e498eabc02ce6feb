-- room: forget what a function can do without, when memory is short. KEYS: as in enqueue.lua, up to 16. ARGV:
-- 1 group.
-- Returns how many keys of calls that have ended are forgotten, and callbacks that were given up are thrown
-- away.
return queue.forget_keys(KEYS[8], KEYS[9], 1000) + queue.drop_dead({unpack(KEYS, 10, 15)}, KEYS[16], ARGV[1], 20, 0)
