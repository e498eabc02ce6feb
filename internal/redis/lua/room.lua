-- room: forget what a function can do without, when memory is short.
--
-- KEYS[1..16]  as in enqueue.lua
-- ARGV[1]      group
--
-- Returns how many Idempotency-Keys of ended calls were forgotten and dead callbacks dropped.
return queue.forget_keys(KEYS[8], KEYS[9], 1000) +
  queue.drop_dead({unpack(KEYS, 10, 15)}, KEYS[16], ARGV[1], 20, 0)
