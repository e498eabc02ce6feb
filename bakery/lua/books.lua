-- books: all of the bakery at one moment. It is a script and no transaction, which a full Redis would refuse.
-- KEYS: fridge, totals, trays, orders, and then the indexes.
-- Returns {ms, fridge as flat names and values, totals likewise, trays, orders,
-- and each index as flat members and scores}.
local t = redis.call('TIME')
local books = {
  t[1] * 1000 + math.floor(t[2] / 1000),
  redis.call('HGETALL', KEYS[1]),
  redis.call('HGETALL', KEYS[2]),
  redis.call('HVALS', KEYS[3]),
  redis.call('HVALS', KEYS[4]),
}
for i = 5, #KEYS do books[i + 1] = redis.call('ZRANGE', KEYS[i], 0, -1, 'WITHSCORES') end
return books
