-- mix: the baker makes the dough of a tray. Commit of bakery.bake. args: tray, cookie, recipe {ingredient = grams}; without a
-- recipe the cookie is not on the menu any more.
write_off()
local t = fetch('trays', args.tray)
if not t or t.state ~= 'asked' then return apply, {tray = args.tray, state = t and t.state or 'ended'} end

if not args.recipe then
  end_tray(t, 'withdrawn')
  local waiting = redis.call('ZRANGEBYLEX', keys.waiting, '[' .. t.cookie .. '|', '(' .. t.cookie .. '}')
  for _, member in ipairs(waiting) do
    local o = fetch('orders', string.match(member, '|([^|]*)$'))
    if o.state == 'baking' then
      o.reason = t.cookie .. ' is not on the menu any more'
      give_back(o, 'refused')
    end
  end
  return apply, {tray = t.id, state = t.state}
end

if pieces('need', t.cookie) <= pieces('way', t.cookie) - t.size then
  end_tray(t, 'withdrawn')
  return apply, {tray = t.id, state = t.state}
end
for ingredient, grams in pairs(args.recipe) do
  if tonumber(redis.call('HGET', keys.fridge, ingredient) or '0') < grams then
    t.recipe, t.short = args.recipe, ingredient
    move(t, 'parked')
    return apply, {tray = t.id, state = t.state, short = ingredient}
  end
end
t.used, t.recipe, t.short = args.recipe, nil, nil
move(t, 'mixed')
emit('bakery.dough', {tray = t.id, cookie = t.cookie})
return function()
  for ingredient, grams in pairs(args.recipe) do redis.call('HINCRBY', keys.fridge, ingredient, -grams) end
  apply()
end, {tray = t.id, state = t.state}
