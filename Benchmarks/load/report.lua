-- What every script tells at its end: one JSON object. Latencies in ms.
local threads = {}

function setup(thread)
   thread:set("id", #threads)
   table.insert(threads, thread)
end

function done(summary, latency)
   local refused = 0
   for _, thread in ipairs(threads) do refused = refused + (tonumber(thread:get("refused")) or 0) end
   local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
   print(string.format('{"count":%d,"seconds":%.3f,"p50":%.3f,"p99":%.3f,"errors":%d}',
      summary.requests - refused, summary.duration / 1e6, latency:percentile(50) / 1000,
      latency:percentile(99) / 1000, refused + lost))
end

refused = 0

-- A status other than `expected` is no answer that the table counts.
function expect(expected)
   response = function(status) if status ~= expected then refused = refused + 1 end end
end

function lines_of(file)
   local lines = {}
   for line in io.lines(file) do table.insert(lines, line) end
   return lines
end
