-- ARGV: the owner's mark that the login began with, or ''; the record's id, the login, until when it must be held.
-- Answers 0 if the owner's sessions were ended since, else the number of the login and the server's time in seconds.
-- The number is the login's place in the order, and the same if it is asked for once more.
if ARGV[1] ~= '' and (redis.call('HGET', KEYS[3], 'mark') or '0') ~= ARGV[1] then
    return 0
end
local id, login = ARGV[2], ARGV[3]
local claimed = redis.call('HGET', KEYS[3], id)
local number = claimed and string.match(claimed, '^(.*) %d+$') == login and redis.call('ZSCORE', KEYS[1], id)
if not number then
    local top = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '0'
    local last = redis.call('HGET', KEYS[3], 'last') or '0'
    number = string.format('%.0f', math.max(tonumber(top), tonumber(last)) + 1)
    redis.call('HSET', KEYS[3], 'last', number, id, login .. ' ' .. time[1])
    redis.call('ZADD', KEYS[1], number, id)
end
redis.call('ZADD', KEYS[2], 'GT', ARGV[4], id)
tidy()
return {number, time[1]}
