-- restock: put ingredients into the fridge and wake parked trays that they suffice for, oldest first.
-- args: key, digest, amounts {ingredient = grams}.
-- Reply: {conflict = true} if the key was used for other amounts; {repeated = true} if for these; else {woken = trays}.
local used = redis.call('HGET', keys.restocks, args.key)
if used then return function() end, {[used == args.digest and 'repeated' or 'conflict'] = true} end

write_off()
local fridge = {}
local function stock(ingredient)
  if not fridge[ingredient] then
    fridge[ingredient] = tonumber(redis.call('HGET', keys.fridge, ingredient) or '0') + (args.amounts[ingredient] or 0)
  end
  return fridge[ingredient]
end
local woken = 0
for _, id in ipairs(redis.call('ZRANGE', keys.parked, 0, 999)) do
  local t = fetch('trays', id)
  if not t.ended then
    local enough = true
    for ingredient, grams in pairs(t.recipe) do enough = enough and stock(ingredient) >= grams end
    if enough then
      for ingredient, grams in pairs(t.recipe) do fridge[ingredient] = fridge[ingredient] - grams end
      move(t, 'asked')
      emit('bakery.bake', {tray = t.id, cookie = t.cookie})
      woken = woken + 1
    end
  end
end
for ingredient, grams in pairs(args.amounts) do count('restocked:' .. ingredient, grams) end
return function()
  for ingredient, grams in pairs(args.amounts) do redis.call('HINCRBY', keys.fridge, ingredient, grams) end
  redis.call('HSET', keys.restocks, args.key, args.digest)
  redis.call('ZADD', keys.ended, now, 'r|' .. args.key)
  apply()
end, {woken = woken}
