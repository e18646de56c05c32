-- Log ins of many accounts in turn: `user0000` and on, as many as the first argument says, with the password of the
-- second; the third is the mean of the pauses in ms before the requests, each of which differs: callers who all
-- come in the same instant are not what is measured.
require "report"

function init(arguments)
   expect(200)
   accounts, password = tonumber(arguments[1]), arguments[2]
   turn = id * 37
   local pause = tonumber(arguments[3] or "")
   math.randomseed(id + 1)
   if pause then delay = function() return math.random(0, 2 * pause) end end
end

local headers = { ["Content-Type"] = "application/json" }

function request()
   turn = turn + 1
   return wrk.format("POST", nil, headers,
      string.format('{"username":"user%04d","password":"%s"}', turn % accounts, password))
end
