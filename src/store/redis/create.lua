-- KEYS[1]: the record, KEYS[2]: the end of all sessions, on one server. ARGV: now, the step
-- (process, number, floor), when it expires, when it began or '' if its login's mark says whether
-- it comes too late, then the fields and their values. Answers 1 (created), 0 (there is a live
-- record), or 2 (it began before the end of all sessions).
local key = KEYS[1]
local secret, expires, steps = unpack(redis.call('HMGET', key, 'secret', 'expires', 'steps'), 1, 3)
local known, kept = taken(steps, ARGV[2], ARGV[3], ARGV[4])
if known then
    return 1
end
if secret and tonumber(expires) >= tonumber(ARGV[1]) then
    return 0
end
if KEYS[2] and ARGV[6] ~= '' then
    local before = redis.call('HGET', KEYS[2], 'before')
    if before and tonumber(ARGV[6]) < tonumber(before) then
        return 2
    end
end
if redis.call('EXISTS', key) == 1 then
    redis.call('DEL', key)
end
-- From the first write on nothing can fail: a server without memory refuses that one.
redis.call('HSET', key, 'steps', kept, 'expires', ARGV[5])
-- Lua cannot pass any number of arguments.
for from = 7, #ARGV, 1000 do
    redis.call('HSET', key, unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
redis.call('PEXPIREAT', key, ARGV[5])
return 1
