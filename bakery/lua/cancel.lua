-- cancel: end an order that is not filled yet. args: order, reason.
-- Reply: {state = what it is now, cancelled = true if this call did it}; no state if there is no such order.
local o = fetch('orders', args.order)
if not o then
  local raw = redis.call('HGET', keys.past_orders, args.order)
  return function() end, {state = raw and cjson.decode(raw).state or nil}
end
if o.state ~= 'baking' then return function() end, {state = o.state} end
write_off()
o.reason = args.reason
give_back(o, 'cancelled')
return apply, {state = o.state, cancelled = true}
