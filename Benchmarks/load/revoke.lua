-- Revokes (RFC 7009) each token of the file once: thread n of m takes every m-th line.
require "report"

local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }

function init(arguments)
   expect(200)
   tokens, step = lines_of(arguments[1]), tonumber(arguments[2])
   turn = id + 1 - step
end

function request()
   turn = turn + step
   -- Past the last line: a token of nobody, which is answered 200 without a statement and not counted.
   if turn > #tokens then refused = refused + 1 end
   return wrk.format("POST", nil, headers, "token=" .. (tokens[turn] or "none"))
end
