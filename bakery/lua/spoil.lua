-- spoil: the manager throws a tray away. args: tray. Reply: {state = what it is
-- now, spoiled = true, pieces = how many of it were thrown away}; only the state
-- if there is nothing of it to throw away; nothing if there is no such tray.
local t = fetch('trays', args.tray)
if not t then
  local raw = redis.call('HGET', keys.past_trays, args.tray)
  return function() end, {state = raw and cjson.decode(raw).state or nil}
end
local before, woken = t.spoiled or 0, t.woken
spoil(t)
local thrown = t.spoiled - before
if not t.ended and thrown == 0 then return function() end, {state = t.state} end
if woken and not t.mixed then wake({}) end
ask(t.cookie, t.size)
write_off()
return apply, {state = t.state, spoiled = true, pieces = thrown}
