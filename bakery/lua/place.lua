-- place: an order, over HTTP. args: id, digest, customer, price, items [{cookie, quantity, tray}], limit (of
-- trays on the way). Reply: {conflict = true} if the id is taken by another order; {busy = true} if too much
-- is owed already, and nothing was done; else {order, line, racks}.
local raw = redis.call('HGET', keys.orders, args.id) or redis.call('HGET', keys.past_orders, args.id)
local stats = {line = redis.call('ZCARD', keys.line), racks = redis.call('ZCARD', keys.racks)}
if raw then
  local o = cjson.decode(raw)
  if o.digest ~= args.digest then return function() end, {conflict = true} end
  stats.order = o
  return function() end, stats
end

if redis.call('ZCARD', keys.way) >= args.limit then return function() end, {busy = true} end
write_off()
local o = {
  id = args.id,
  digest = args.digest,
  seq = next_seq(),
  customer = args.customer,
  price = args.price,
  state = 'baking',
  ordered = now,
  items = {},
}
for i, item in ipairs(args.items) do
  o.items[i] = {cookie = item.cookie, quantity = item.quantity, filled = 0}
end
create('orders', o)
count('orders_placed', 1)
for _, line in ipairs(o.items) do
  local offset = 0
  while line.filled < line.quantity do
    local first, last = '[' .. line.cookie .. '|', '(' .. line.cookie .. '}'
    local batch = redis.call('ZRANGEBYLEX', keys.shelf, first, last, 'LIMIT', offset, 8)
    if #batch == 0 then break end
    for _, member in ipairs(batch) do reserve(o, fetch('trays', string.match(member, '|([^|]*)$'))) end
    offset = offset + #batch
  end
end
if is_filled(o) then
  hand_over(o)
else
  local asked = {}
  for _, item in ipairs(args.items) do
    for _, id in ipairs(ask(item.cookie, item.tray)) do asked[#asked + 1] = id end
  end
  if #asked > 0 then o.asked = asked end
  stats.line = stats.line + #asked
end
o.upto = seq
stats.order = o
return apply, stats
