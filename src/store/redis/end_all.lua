-- KEYS[1]: the end of all sessions (a hash). ARGV: what began before this time, without an owner,
-- comes too late. It changes the mark, so that no login that is on its way comes to its end.
local old = redis.call('HMGET', KEYS[1], 'mark', 'before')
local time = redis.call('TIME')
local mark = (tonumber(time[1]) * 1000000 + tonumber(time[2])) % 4294967296
if mark == 0 or mark == tonumber(old[1] or '0') then
    mark = tonumber(old[1] or '0') % 4294967295 + 1
end
local before = old[2] and tonumber(old[2]) > tonumber(ARGV[1]) and old[2] or ARGV[1]
-- A full server refuses a script's first write if it takes memory, and this must be done all the
-- same.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'mark', string.format('%.0f', mark), 'before', before)
-- For longer than any request takes.
redis.call('PEXPIRE', KEYS[1], 86400000)
return 1
