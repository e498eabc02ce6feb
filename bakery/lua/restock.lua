-- restock: put ingredients into the fridge and wake parked trays that they suffice for, oldest first. args:
-- key, digest, amounts {ingredient = grams}, menu {cookie = true}. Reply: {conflict = true} if the key was
-- used for other amounts; {repeated = true} if for these; else {woken = trays}.
local used = redis.call('HGET', keys.restocks, args.key)
if used then return function() end, {[used == args.digest and 'repeated' or 'conflict'] = true} end

local woken = wake(args.amounts, args.menu)
write_off()
for ingredient, grams in pairs(args.amounts) do count('restocked:' .. ingredient, grams) end
return function()
  for ingredient, grams in pairs(args.amounts) do redis.call('HINCRBY', keys.fridge, ingredient, grams) end
  redis.call('HSET', keys.restocks, args.key, args.digest)
  redis.call('ZADD', keys.ended, now, 'r|' .. args.key)
  apply()
end, {woken = woken}
