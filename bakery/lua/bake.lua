-- bake: a tray goes into the oven. It brings no message: the commit is at the
-- end of the bake. args: tray, cookie, oven. Reply: {state, since = ms it has
-- been in the oven}; anything but in_oven means that there is nothing to bake.
local t = fetch('trays', args.tray)
if not t then return function() end, {state = 'ended'} end
if t.cookie ~= args.cookie then return refuse('tray ' .. args.tray .. ' is of ' .. t.cookie) end
if t.state ~= 'mixed' and t.state ~= 'in_oven' then return function() end, {state = t.state} end
if t.state == 'in_oven' and t.oven == args.oven then
  return function() end, {state = t.state, since = now - t.in_oven}
end
t.oven = args.oven
if t.state == 'in_oven' then -- delivered again, to another oven
  change('trays', t)
else
  move(t, 'in_oven')
end
return apply, {state = t.state, since = now - t.in_oven}
