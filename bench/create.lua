-- wrk: every request creates a ConfigMap of about 1 KB under a name of its own.
local threads = 0
local value = string.rep("x", 900)

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  run = args[1]
  made = 0
end

function request()
  made = made + 1
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bench-' .. run .. '-' .. id .. '-' .. made ..
               '"},"data":{"value":"' .. value .. '"}}'
  return wrk.format("POST", nil, nil, body)
end

function done(summary, latency, requests)
  report(summary, latency)
end

dofile(os.getenv("BENCH_DIR") .. "/report.lua")
