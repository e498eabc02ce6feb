-- mix: the baker makes the dough of a tray. Commit of bakery.bake. args: tray, cookie, recipe {ingredient =
-- grams}; without a recipe the cookie is not on the menu any more.
local t = fetch('trays', args.tray)
if t and t.cookie ~= args.cookie then return refuse('tray ' .. args.tray .. ' is of ' .. t.cookie) end
local woken = t and t.woken
local function done(short)
  write_off()
  return apply, {tray = args.tray, state = t and t.state or 'ended', short = short}
end
if not t or t.state ~= 'asked' then return done() end
t.woken = nil

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
  if woken then wake({}) end
  return done()
end

if pieces('need', t.cookie) <= pieces('way', t.cookie) - t.size then
  end_tray(t, 'withdrawn')
  if woken then wake({}) end
  return done()
end
for ingredient, grams in pairs(args.recipe) do
  if tonumber(redis.call('HGET', keys.fridge, ingredient) or '0') < grams then
    t.recipe = args.recipe
    move(t, 'parked')
    if woken then wake({}) end
    return done(ingredient)
  end
end
t.used, t.recipe = args.recipe, nil
move(t, 'mixed')
emit('bakery.dough', {tray = t.id, cookie = t.cookie})
local _, reply = done()
return function()
  for ingredient, grams in pairs(args.recipe) do redis.call('HINCRBY', keys.fridge, ingredient, -grams) end
  apply()
end, reply
