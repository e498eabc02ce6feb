-- The requests of wrk, and its report as one line of JSON.
-- wrk -s wrk.lua URL -- BYTES SPREAD
function init(args)
  wrk.method = 'POST'
  wrk.headers['Content-Type'] = 'text/plain'
  wrk.body = string.rep('x', tonumber(args[1]))
  local spread = tonumber(args[2])
  if spread > 0 then
    local all = {}
    for i = 0, spread - 1 do all[i] = wrk.format(nil, wrk.path .. i) end
    request = function() return all[math.random(0, spread - 1)] end
  else
    local one = wrk.format()
    request = function() return one end
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"broken":%d,"refused":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
