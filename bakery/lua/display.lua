-- display: the server puts a tray on display and fills the orders that wait.
-- Commit of bakery.baked. args: tray.
local t = fetch('trays', args.tray)
if t and t.state == 'baked' then
  move(t, 'on_display')
  t.left, t.reserved, t.handed = t.size, 0, 0
  fill(t)
end
write_off()
return apply, {tray = args.tray, state = t and t.state or 'ended'}
