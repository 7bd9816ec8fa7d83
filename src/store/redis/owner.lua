-- Before each script on what is known of an owner's sessions:
-- KEYS[1]: their order (a sorted set of ids; the score is the number of the last login in the session, and 0 if that is
-- not known any more), KEYS[2]: until when each is held (a sorted set), and KEYS[3]: their logins (a hash of the `mark`,
-- which the last end of all of them changed, when it `ended` them, the `last` number, and for each id the last login and when
-- it was).
local DAY = 24 * 60 * 60 * 1000
-- The time of the server: those of clients differ.
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local function forget(id)
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
end
-- Forgets sessions that have ended: before one outlives its mark, the mark is moved.
local function tidy()
    local now = seconds * 1000
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. string.format('%.0f', now), 'LIMIT', 0, 1000)) do
        forget(id)
    end
    local ends = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
    if not ends or tonumber(ends) < now + DAY then
        ends = string.format('%.0f', now + DAY)
    end
    for _, key in ipairs(KEYS) do
        redis.call('PEXPIREAT', key, ends)
    end
end

