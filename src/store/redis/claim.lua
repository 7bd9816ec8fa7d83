-- ARGV: the owner's mark that the login began with, or ''; the record's id, the login, until when
-- it must be held. Answers 0 if the owner's sessions were ended since, else the number of the login
-- and the server's time in seconds. The number is the login's place in the order, and the same if
-- it is asked for once more.
if ARGV[1] ~= '' and (redis.call('HGET', key, 'mark') or '0') ~= ARGV[1] then
    return 0
end
local number, _, login, at = entry(ARGV[2])
if login ~= ARGV[3] then
    number, at = text(tonumber(redis.call('HGET', key, 'last') or '0') + 1), time[1]
    redis.call('HSET', key, 'last', number)
end
keep(ARGV[2], number, ARGV[4], ARGV[3], at)
return {number, time[1]}
