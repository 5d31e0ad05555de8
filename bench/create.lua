-- wrk script: every request creates a ConfigMap of about 1 KB with a unique name. All of it except the number is prepared
-- beforehand: the load generator runs on the cores that it measures.
local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  made = 0
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bench-' .. args[1] .. '-' .. id ..
               '-00000000"},"data":{"value":"' .. string.rep("x", 900) .. '"}}'
  local whole = wrk.format("POST", nil, nil, body)
  local at = whole:find("-00000000", 1, true)
  before, after = whole:sub(1, at), whole:sub(at + 9)
end

function request()
  made = made + 1
  return before .. string.format("%08d", made) .. after
end

function done(summary, latency, requests)
  report(summary, latency)
end

dofile(os.getenv("BENCH_DIR") .. "/report.lua")
