-- KEYS[1]: the record. ARGV: now, the step's id, when it expires, then the fields and their values.
-- Answers 1, or 0 if there is a live record.
local key = KEYS[1]
local at = redis.call('HMGET', key, 'expires', 'steps')
if at[1] and tonumber(at[1]) >= tonumber(ARGV[1]) then
    -- The client sends a step again if it did not hear the answer.
    if at[2] == ARGV[2] then
        return 1
    end
    return 0
end
if redis.call('EXISTS', key) == 1 then
    redis.call('DEL', key)
end
-- From the first write on nothing can fail: a server without memory refuses that one.
redis.call('HSET', key, 'steps', ARGV[2], 'expires', ARGV[3])
-- Lua cannot pass any number of arguments.
for from = 4, #ARGV, 1000 do
    redis.call('HSET', key, unpack(ARGV, from, math.min(from + 999, #ARGV)))
end
redis.call('PEXPIREAT', key, ARGV[3])
return 1
