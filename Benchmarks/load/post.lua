-- The same POST again and again: content type, body, Authorization from the lines of the file named; the second argument
-- is a pause in ms before each request.
require "report"

function init(arguments)
   expect(200)
   local lines = lines_of(arguments[1])
   local headers = { ["Content-Type"] = lines[1] }
   if lines[3] then headers["Authorization"] = lines[3] end
   local pause = tonumber(arguments[2] or "")
   if pause then delay = function() return pause end end
   one = wrk.format("POST", nil, headers, lines[2])
end

function request() return one end
