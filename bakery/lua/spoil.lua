-- spoil: the manager throws a tray away. args: tray. Reply: {state = what it is now}; no state if there is no such tray.
local t = fetch('trays', args.tray)
if not t then
  local raw = redis.call('HGET', keys.past_trays, args.tray)
  return function() end, {state = raw and cjson.decode(raw).state or nil}
end
write_off()
if not t.ended then
  spoil(t)
  ask(t.cookie, t.size)
end
return apply, {state = t.state, spoiled = true}
