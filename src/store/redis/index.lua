-- KEYS[1]: an owner's index. ARGV: now, a record's id, until when the index must hold it.
local key = KEYS[1]
redis.call('ZADD', key, 'GT', ARGV[3], ARGV[2])
-- These records have ended: before one outlives its mark, the mark is moved.
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. ARGV[1])
-- PEXPIRETIME would be shorter, and needs Redis 7.
local left = redis.call('PTTL', key)
local time = redis.call('TIME')
if left < 0 or tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000 + left < tonumber(ARGV[3]) then
    redis.call('PEXPIREAT', key, ARGV[3])
end
return 1
