-- KEYS[1]: the record. ARGV: now or '', the step's id, 'secret' or 'owner', and what that field must be.
-- Answers 0 if there is none, else the owner's name, or 1 if it has no owner.
local key = KEYS[1]
local old = redis.call('HMGET', key, 'secret', 'expires', 'owner', 'steps')
if not old[1] then
    -- The client sends a step again if it did not hear the answer. This is what it left then.
    return old[4] == ARGV[2] and 1 or 0
end
if ARGV[1] ~= '' and tonumber(old[2]) < tonumber(ARGV[1]) then
    return 0
end
local field = ARGV[3] == 'owner' and old[3] or ARGV[3] == 'secret' and old[1]
if field ~= ARGV[4] then
    return 0
end
redis.call('DEL', key)
redis.call('HSET', key, 'steps', ARGV[2])
redis.call('PEXPIRE', key, 30000)
return old[3] or 1
