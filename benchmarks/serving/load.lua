-- Requests like a browser's: a page event with a message id of its own, for one profile or a new one.
-- Arguments: a file with the event's JSON (its message id is MESSAGE), a file with paths, a first number.

local event, paths, number

local function read(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(arguments)
  local text = read(arguments[1])
  local first, last = text:find("MESSAGE", 1, true)
  event = { text:sub(1, first - 1), text:sub(last + 1) }
  paths = {}
  for line in read(arguments[2]):gmatch("[^\n]+") do
    paths[#paths + 1] = line
  end
  number = tonumber(arguments[3])
  wrk.headers["Content-Type"] = "text/plain;charset=UTF-8"
  wrk.headers["Origin"] = "https://shop.example"
end

function request()
  number = number + 1
  return wrk.format("POST", paths[number % #paths + 1], nil, event[1] .. number .. event[2])
end

function done(summary, latency, requests)
  local errors = summary.errors
  local parts = {}
  for _, percent in ipairs({ 10, 25, 50, 75, 90, 95, 99, 99.9, 100 }) do
    -- wrk's percentile of 100 is 0.
    local value = percent < 100 and latency:percentile(percent) or latency.max
    parts[#parts + 1] = string.format('"%g":%d', percent, value)
  end
  io.write(string.format(
    '\nRESULT {"requests":%d,"duration_us":%d,"failed":%d,"latency_us":{%s}}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    table.concat(parts, ",")))
end
