-- wrk script: "create" makes a new durable promise with a target each time; "mixed" creates, acquires
-- and fulfills the same promises, each step LAG steps after the one it needs, so that it is done.
-- Arguments: mode, lag, seed.
local mode, lag, seed, thread_id = "mixed", 1000, "0", 0
local n, threads = 0, 0

function setup(thread)
  thread:set("thread_id", threads)
  threads = threads + 1
end

function init(args)
  mode = args[1] or mode
  lag = tonumber(args[2] or lag)
  seed = args[3] or seed
end

local HEAD = '","head":{"corrId":"1","version":"2026-04-01"},"data":'
local PARAM = '"param":{"data":"eyJmdW5jIjoiY29tcHV0ZV9zb21ldGhpbmciLCJhcmdzIjpbImFiYyIsMV0sImt3YXJncyI6e30sInZlcnNpb24iOjF9"}'
local TAGS = '"tags":{"resonate:target":"poll://any@bench","resonate:scope":"global"}'

local function id(i)
  return string.format("%s-%d-%d", seed, thread_id, i)
end

local function post(kind, data)
  return wrk.format("POST", "/", nil, '{"kind":"' .. kind .. HEAD .. data .. "}")
end

local function create(i)
  return post("promise.create", '{"id":"' .. id(i) .. '","timeoutAt":9999999999999,' .. PARAM .. "," .. TAGS .. "}")
end

function request()
  n = n + 1
  if mode == "create" then return create(n) end
  local step, i = n % 3, math.floor(n / 3)
  if step == 1 and i > lag then
    return post("task.acquire", '{"id":"' .. id(i - lag) .. '","version":0,"pid":"bench","ttl":60000}')
  elseif step == 2 and i > 2 * lag then
    local name = id(i - 2 * lag)
    return post("task.fulfill", '{"id":"' .. name .. '","version":1,"action":{"data":{"id":"' .. name .. '","state":"resolved","value":{"data":"NDI="}}}}')
  elseif step == 0 then
    return create(i)
  end
  return create(i + 100000000 * (step + 1)) -- nothing to acquire or fulfill yet
end
