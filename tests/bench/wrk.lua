-- wrk sends prepared batches: the file of length-prefixed batches that load.c
-- describes, which is the argument of the script. Every thread begins at
-- another place of it.
--
-- In the end one line of JSON: the counts, and the histogram of times in
-- microseconds as wrk left it (clients.py takes wrk's correction out again).

local batches = {}
local next_batch = 0
local threads = 0

function setup(thread)
   thread:set("offset", threads)
   threads = threads + 1
end

function init(args)
   local file = assert(io.open(args[1], "rb"))
   local bytes = file:read("*a")
   file:close()
   local at = 1
   while at <= #bytes do
      local a, b, c, d = bytes:byte(at, at + 3)
      local len = a + 256 * (b + 256 * (c + 256 * d))
      batches[#batches + 1] = bytes:sub(at + 4, at + 3 + len)
      at = at + 4 + len
   end
   next_batch = math.floor(#batches * offset / 7)
end

function request()
   next_batch = next_batch % #batches + 1
   return batches[next_batch]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      '{"count": %d, "micros": %d, "errors": %d, "histogram": [',
      summary.requests, summary.duration,
      e.connect + e.read + e.write + e.status + e.timeout))
   for i = 1, #latency do
      local value, count = latency(i)
      io.write(string.format("%s[%d, %d]", i > 1 and ", " or "", value, count))
   end
   io.write("]}\n")
end
