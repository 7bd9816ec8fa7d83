-- KEYS[1]: the record. ARGV: now or '', the step (process, number, floor), a field ('secret',
-- 'owner' or 'login'), and the value that it must have. Answers 0 if there is no such record, else
-- its owner, or 1 if it has none.
local key = KEYS[1]
local old = redis.call('HMGET', key, 'secret', 'expires', 'owner', 'steps', ARGV[5])
local secret, expires, owner, steps, field = unpack(old, 1, 5)
local known, kept = taken(steps, ARGV[2], ARGV[3], ARGV[4])
if known then
    return 1
end
if not secret or ARGV[1] ~= '' and tonumber(expires) < tonumber(ARGV[1]) then
    return 0
end
if field ~= ARGV[6] then
    return 0
end
-- What stays has no secret, so it is no session. It keeps a step that comes late from beginning
-- one.
redis.call('DEL', key)
redis.call('HSET', key, 'steps', kept)
redis.call('PEXPIRE', key, RESENT * 1000)
return owner or 1
