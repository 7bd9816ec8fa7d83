-- ARGV: when that is, by the clock of whoever ends them. Changes the owner's mark, so that no login
-- that is on its way comes to its end, and answers the number of the last login that did.
local old = tonumber(redis.call('HGET', key, 'mark') or '0')
local mark = (tonumber(time[1]) * 1000000 + tonumber(time[2])) % 4294967296
if mark == 0 or mark == old then
    mark = old % 4294967295 + 1
end
local ended = later(redis.call('HGET', key, 'ended') or '0', ARGV[1])
-- A full server refuses a script's first write if it takes memory, and this must be done all the
-- same.
redis.call('HDEL', key, 'mark')
redis.call('HSET', key, 'mark', text(mark), 'ended', ended)
keep(nil, nil, '0')
return redis.call('HGET', key, 'last') or '0'
