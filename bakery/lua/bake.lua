-- bake: a tray goes into the oven. It brings no message: the commit is at the end of the bake. args: tray, cookie.
-- Reply: {state, since = ms it has been in the oven}; anything but in_oven means that there is nothing to bake.
local t = fetch('trays', args.tray)
if not t then return function() end, {state = 'ended'} end
if t.cookie ~= args.cookie then return refuse('tray ' .. args.tray .. ' is of ' .. t.cookie) end
if t.state == 'in_oven' then return function() end, {state = t.state, since = now - t.in_oven} end
if t.state ~= 'mixed' then return function() end, {state = t.state} end
move(t, 'in_oven')
return apply, {state = t.state, since = 0}
