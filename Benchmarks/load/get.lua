-- GET, with the bearer token of the file named by the first argument, where one is named; the second argument is a pause
-- in ms before each request.
require "report"

function init(arguments)
   expect(200)
   local headers = {}
   if arguments[1] and arguments[1] ~= "" then headers["Authorization"] = "Bearer " .. lines_of(arguments[1])[1] end
   local pause = tonumber(arguments[2] or "")
   if pause then delay = function() return pause end end
   one = wrk.format("GET", nil, headers)
end

function request() return one end
