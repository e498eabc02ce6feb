-- baked: a tray comes out of the oven. Commit of bakery.dough. args: tray.
local t = fetch('trays', args.tray)
if t and t.state == 'in_oven' then
  move(t, 'baked')
  emit('bakery.baked', {tray = t.id, cookie = t.cookie})
end
write_off()
return apply, {tray = args.tray, state = t and t.state or 'ended'}
