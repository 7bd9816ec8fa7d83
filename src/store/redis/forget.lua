-- ARGV: ids of sessions that have ended, each followed by the number of the login that it ended
-- with, or ''. One that has logged in since stays.
for at = 1, #ARGV, 2 do
    if ARGV[at + 1] == '' or entry(ARGV[at]) == ARGV[at + 1] then
        redis.call('HDEL', key, ARGV[at])
    end
end
-- Without a mark nothing else is worth keeping.
local others = redis.call('HMGET', key, 'mark', 'last', 'ends', 'tidy')
local count = 0
for _, value in ipairs(others) do
    count = count + (value and 1 or 0)
end
if not others[1] and redis.call('HLEN', key) == count then
    redis.call('DEL', key)
end
return 1
