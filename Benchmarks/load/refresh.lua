-- One connection a thread, each its own client: what one refresh answers is what the next presents. The file named holds
-- a refresh token a line, one for each thread; the second argument is a pause in ms before each request.
require "report"

local token

function init(arguments)
   token = lines_of(arguments[1])[id + 1]
   local pause = tonumber(arguments[2] or "")
   if pause then delay = function() return pause end end
end

local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }

function request()
   return wrk.format("POST", nil, headers, "grant_type=refresh_token&refresh_token=" .. token)
end

function response(status, _, body)
   local next_token = body:match('"refresh_token":"([^"]+)"')
   if status == 200 and next_token then token = next_token else refused = refused + 1 end
end
