-- lib: the bakery's records and what follows from them. Stands before each of the bakery's scripts.
--
-- A tray and an order are JSON records in hashes. The sorted sets are indexes: which
-- members a record has in them is a function of the record alone, worked out here once, so
-- an index cannot say anything else than the records do. A script changes records in
-- memory while it plans; `apply`, at the end of this file, writes what changed.
--
-- Members of way, need, waiting and shelf begin "COOKIE|", with a number of fixed
-- width behind it, and all have the score 0, so that ZRANGEBYLEX finds the oldest
-- of a cookie, and ZLEXCOUNT adds up a cookie's pieces in O(sizes x log n).
local coming = {asked = true, parked = true, mixed = true, in_oven = true, baked = true}
local stages = {'mixed', 'in_oven', 'baked', 'on_display'}

local function members_of_tray(t)
  local m = {}
  if t.ended then return m end
  if coming[t.state] then m.way = {[string.format('%s|%05d|%s', t.cookie, t.size, t.id)] = 0} end
  if t.state == 'asked' or t.state == 'mixed' then m.line = {[t.id] = t.seq} end
  if t.state == 'in_oven' then m.racks = {[t.id] = t.in_oven} end
  if t.state == 'parked' then m.parked = {[t.id] = t.seq} end
  if coming[t.state] and t.state ~= 'parked' then m.deadlines = {[t.id] = t.deadline} end
  if t.left and t.left > 0 then
    m.shelf = {[string.format('%s|%015d|%s', t.cookie, t.on_display, t.id)] = 0}
  end
  return m
end

local function members_of_order(o)
  local m = {need = {}, waiting = {}}
  if o.state ~= 'baking' then return m end
  for _, line in ipairs(o.items) do
    local missing = line.quantity - line.filled
    if missing > 0 then
      m.need[string.format('%s|%05d|%s', line.cookie, missing, o.id)] = 0
      m.waiting[string.format('%s|%012d|%s', line.cookie, o.seq, o.id)] = 0
    end
  end
  return m
end

local members_of = {trays = members_of_tray, orders = members_of_order}

-- Records in memory: kind .. id -> {kind, record, members as they are in Redis, changed?}. The trays also by
-- their cookie, since an order for thousands of pieces makes many.
local loaded, trays_of = {}, {}

local function keep(kind, record, was)
  local l = {kind = kind, record = record, was = was}
  loaded[kind .. record.id] = l
  if kind == 'trays' then
    trays_of[record.cookie] = trays_of[record.cookie] or {}
    table.insert(trays_of[record.cookie], l)
  end
  return l
end

local function fetch(kind, id)
  local l = loaded[kind .. id]
  if not l then
    local raw = redis.call('HGET', keys[kind], id)
    if not raw then return nil end
    local record = cjson.decode(raw)
    l = keep(kind, record, members_of[kind](record))
  end
  return l.record
end

local function change(kind, record) loaded[kind .. record.id].changed = true end
local function create(kind, record) keep(kind, record, {}).changed = true end

-- What this script adds to the totals.
local tally = {}
local function count(name, n)
  if n ~= 0 then tally[name] = (tally[name] or 0) + n end
end

local seq = tonumber(redis.call('HGET', keys.totals, 'seq') or '0')
local function next_seq()
  seq = seq + 1
  count('seq', 1)
  return seq
end

-- pieces(index, cookie): the pieces of a cookie in `way` (on the way) or `need`
-- (missing), with the changes of this script.
local function pieces(index, cookie)
  local sum, from, to = 0, '[' .. cookie .. '|', '(' .. cookie .. '}' -- } is what follows | in ASCII
  while true do
    local first = redis.call('ZRANGEBYLEX', keys[index], from, to, 'LIMIT', 0, 1)[1]
    if not first then break end
    local amount = string.match(first, '^[^|]*|(%d+)|')
    local prefix = cookie .. '|' .. amount
    local trays = redis.call('ZLEXCOUNT', keys[index], '[' .. prefix .. '|', '(' .. prefix .. '}')
    sum = sum + tonumber(amount) * trays
    from = '[' .. prefix .. '}'
  end
  local function add(members, sign)
    for member in pairs(members[index] or {}) do
      local c, amount = string.match(member, '^([^|]*)|(%d+)|')
      if c == cookie then sum = sum + sign * tonumber(amount) end
    end
  end
  for _, l in pairs(index == 'way' and (trays_of[cookie] or {}) or loaded) do
    if l.changed and (index == 'way') == (l.kind == 'trays') then
      add(l.was, -1)
      add(members_of[l.kind](l.record), 1)
    end
  end
  return sum
end

-- ask(cookie, size): ask for as many trays as are owed and not yet on the way. Returns their ids.
local function ask(cookie, size)
  local owed, ids = pieces('need', cookie) - pieces('way', cookie), {}
  while owed > 0 do
    local n = next_seq()
    local id = 'T' .. n
    create('trays', {
      id = id,
      seq = n,
      cookie = cookie,
      size = size,
      state = 'asked',
      asked = now,
      deadline = now + args.patience,
    })
    emit('bakery.bake', {tray = id, cookie = cookie})
    ids[#ids + 1] = id
    owed = owed - size
  end
  return ids
end

local function move(t, state)
  t.state, t[state], t.deadline = state, now, now + args.patience
  change('trays', t)
end

-- end_tray(t, state): its numbers go into the totals now, the record is kept for a while.
local function end_tray(t, state)
  t.state, t.ended = state, now
  change('trays', t)
  count('trays_' .. state, 1)
  if t.mixed then
    count('pieces_mixed', t.size)
    for ingredient, grams in pairs(t.used) do count('used:' .. ingredient, grams) end
  end
  count('pieces_spoiled', t.spoiled or 0)
  count('pieces_handed', t.handed or 0)
end

local function end_if_empty(t)
  if t.left == 0 and t.reserved == 0 then end_tray(t, (t.handed > 0) and 'sold' or 'spoiled') end
end

-- spoil(t): what is left of it cannot be sold. Whoever spoils one that was woken
-- looks to what follows from it.
local function spoil(t)
  if t.state == 'on_display' then
    t.spoiled, t.left = (t.spoiled or 0) + t.left, 0
    change('trays', t)
    end_if_empty(t)
  else
    t.spoiled = t.mixed and t.size or 0
    end_tray(t, 'spoiled')
  end
end

-- wake(added): parked trays that the fridge, with what is added, suffices for go to the baker, oldest first.
-- So do those whose cookie is not on the menu, if that is given: the baker ends them. A tray that was woken
-- and does not take its ingredients must wake the next. Returns how many were woken.
local function wake(added, menu)
  local fridge, woken, offset = {}, 0, 0
  local function stock(ingredient)
    if not fridge[ingredient] then
      local stored = redis.call('HGET', keys.fridge, ingredient) or '0'
      fridge[ingredient] = tonumber(stored) + (added[ingredient] or 0)
    end
    return fridge[ingredient]
  end
  while true do
    local batch = redis.call('ZRANGE', keys.parked, offset, offset + 499)
    for _, id in ipairs(batch) do
      local t = fetch('trays', id)
      local known = not menu or menu[t.cookie]
      local enough = t.state == 'parked'
      for ingredient, grams in pairs(known and t.recipe or {}) do
        enough = enough and stock(ingredient) >= grams
      end
      if enough then
        for ingredient, grams in pairs(known and t.recipe or {}) do
          fridge[ingredient] = fridge[ingredient] - grams
        end
        move(t, 'asked')
        t.woken = true
        emit('bakery.bake', {tray = t.id, cookie = t.cookie})
        woken = woken + 1
      end
    end
    if #batch < 500 then return woken end
    offset = offset + 500
  end
end

-- write_off(): spoil trays whose deadline has passed, and ask again for what they leave owed. A script calls
-- it after it has moved its own tray, which is late no more.
local function write_off()
  local late, woken = {}, false
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.deadlines, '-inf', now, 'LIMIT', 0, 8)) do
    local t = fetch('trays', id)
    if not t.ended and t.deadline <= now then
      woken = woken or t.woken and not t.mixed
      spoil(t)
      late[#late + 1] = t
    end
  end
  for _, t in ipairs(late) do
    for _, id in ipairs(ask(t.cookie, t.size)) do fetch('trays', id).woken = t.woken end
  end
  if woken then wake({}) end
end

local events = {}

-- end_order(o, state): served, cancelled or refused.
local function end_order(o, state)
  o.state, o.ended = state, now
  change('orders', o)
  count('orders_' .. state, 1)
  events[#events + 1] = o.id
end

-- reserve(o, t): give an order as much of a tray on display as it lacks. Whoever
-- calls looks to what follows from it.
local function reserve(o, t)
  for _, line in ipairs(o.items) do
    local n = math.min(line.quantity - line.filled, t.left)
    if line.cookie == t.cookie and n > 0 then
      line.filled = line.filled + n
      t.left, t.reserved = t.left - n, t.reserved + n
      o.trays = o.trays or {}
      o.trays[#o.trays + 1] = {tray = t.id, cookie = t.cookie, pieces = n}
      for _, stage in ipairs(stages) do o[stage] = math.max(o[stage] or 0, t[stage]) end
      change('orders', o)
      change('trays', t)
    end
  end
end

local function is_filled(o)
  for _, line in ipairs(o.items) do
    if line.filled < line.quantity then return false end
  end
  return true
end

-- fill(t): give the pieces of a tray on display to the orders that wait for
-- them, oldest first. It may be in parts.
local function fill(t)
  local offset = 0
  while t.left > 0 do
    local first, last = '[' .. t.cookie .. '|', '(' .. t.cookie .. '}'
    local batch = redis.call('ZRANGEBYLEX', keys.waiting, first, last, 'LIMIT', offset, 8)
    if #batch == 0 then return end
    for _, member in ipairs(batch) do
      if t.left == 0 then return end
      local o = fetch('orders', string.match(member, '|([^|]*)$'))
      if o.state == 'baking' then
        reserve(o, t)
        if is_filled(o) then
          o.state, o.ready = 'ready', now
          emit('bakery.ready', {order = o.id})
        end
      end
    end
    offset = offset + #batch
  end
end

-- hand_over(o): the customer has the cookies.
local function hand_over(o)
  for _, part in ipairs(o.trays) do
    local t = fetch('trays', part.tray)
    t.reserved, t.handed = t.reserved - part.pieces, t.handed + part.pieces
    change('trays', t)
    end_if_empty(t)
  end
  for _, line in ipairs(o.items) do count('pieces_served', line.quantity) end
  o.served = now
  end_order(o, 'served')
end

-- give_back(o, state): end an order that will not be served; what was reserved for it goes to those who wait.
local function give_back(o, state)
  local trays = {}
  for _, part in ipairs(o.trays or {}) do
    local t = fetch('trays', part.tray)
    t.reserved, t.left = t.reserved - part.pieces, t.left + part.pieces
    change('trays', t)
    trays[#trays + 1] = t
  end
  end_order(o, state)
  for _, t in ipairs(trays) do fill(t) end
end

-- The orders and trays that ended longer ago than args.keep, some at a time.
local hash_of = {o = 'past_orders', t = 'past_trays', r = 'restocks'}
local function forget_old()
  local old = redis.call('ZRANGEBYSCORE', keys.ended, '-inf', now - args.keep, 'LIMIT', 0, 16)
  for _, member in ipairs(old) do
    redis.call('HDEL', keys[hash_of[string.sub(member, 1, 1)]], string.sub(member, 3))
    redis.call('ZREM', keys.ended, member)
  end
end

-- The apply half of every script.
local past_of = {orders = {'past_orders', 'o|'}, trays = {'past_trays', 't|'}}
local function apply()
  for _, l in pairs(loaded) do
    if l.changed then
      local r = l.record
      if r.ended then
        local past, prefix = unpack(past_of[l.kind])
        redis.call('HDEL', keys[l.kind], r.id)
        redis.call('HSET', keys[past], r.id, cjson.encode(r))
        redis.call('ZADD', keys.ended, r.ended, prefix .. r.id)
      else
        redis.call('HSET', keys[l.kind], r.id, cjson.encode(r))
      end
      local is = members_of[l.kind](r)
      for index, members in pairs(l.was) do
        for member in pairs(members) do
          if not (is[index] and is[index][member]) then redis.call('ZREM', keys[index], member) end
        end
      end
      for index, members in pairs(is) do
        for member, score in pairs(members) do
          if not (l.was[index] and l.was[index][member] == score) then
            redis.call('ZADD', keys[index], score, member)
          end
        end
      end
    end
  end
  for name, n in pairs(tally) do redis.call('HINCRBY', keys.totals, name, n) end
  for _, id in ipairs(events) do redis.call('PUBLISH', keys.events, id) end
  forget_old()
end
