-- serve: the cashier gives a filled order to the customer. Commit of bakery.ready. args: order.
write_off()
local o = fetch('orders', args.order)
if o and o.state == 'ready' then hand_over(o) end
return apply, {order = args.order, state = o and o.state or 'ended'}
