-- What wrk sends, and how it says what came of it: one line of JSON.
-- wrk -s wrk.lua URL METHOD BODY
function init(args)
  wrk.method = args[1] or 'GET'
  if args[2] then wrk.body = args[2] end
  wrk.headers['Content-Type'] = 'text/plain'
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"broken":%d,"refused":%d}\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout, e.status))
end
