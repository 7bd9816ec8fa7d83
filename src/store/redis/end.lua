-- ARGV: when that is, by the clock of whoever ends them. Changes the owner's mark, so that no login that is on its way comes to its end, and answers the number of the last
-- login that did.
local old = tonumber(redis.call('HGET', KEYS[3], 'mark') or '0')
local mark = (seconds * 1000000 + tonumber(time[2])) % 4294967296
if mark == 0 or mark == old then
    mark = old % 4294967295 + 1
end
local top = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '0'
local last = redis.call('HGET', KEYS[3], 'last') or '0'
local ended = redis.call('HGET', KEYS[3], 'ended')
if not ended or tonumber(ended) < tonumber(ARGV[1]) then
    ended = ARGV[1]
end
-- A full server refuses a script's first write if it takes memory, and this must be done all the same.
redis.call('HDEL', KEYS[3], 'mark')
redis.call('HSET', KEYS[3], 'mark', string.format('%.0f', mark), 'ended', ended)
tidy()
return tonumber(top) > tonumber(last) and top or last
