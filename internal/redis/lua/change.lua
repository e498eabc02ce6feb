-- change: save or delete a function's spec, and tell all instances.
--
-- KEYS[1]  functions
-- KEYS[2]  changes
-- KEYS[3]  removed
-- ARGV[1]  'save', 'delete', or 'tell' to do neither
-- ARGV[2]  NAME.NAMESPACE; '' if it is not about one function
-- ARGV[3]  the instance that does it
-- ARGV[4]  the spec to save, as JSON; or, for a delete, the streams on which the function may have left
--          groups, separated by spaces
--
-- Returns the change's id. Repeated, it is one more change, which says the same.
if ARGV[1] == 'save' then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
  redis.call('HDEL', KEYS[3], ARGV[2])
end
if ARGV[1] == 'delete' then
  redis.call('HDEL', KEYS[1], ARGV[2])
  redis.call('HSET', KEYS[3], ARGV[2], ARGV[4])
end
return redis.call('XADD', KEYS[2], 'MAXLEN', 1000, '*', 'function', ARGV[2], 'by', ARGV[3])
