-- KEYS[1]: a record. ARGV: before and after which time it must have begun to end, the latter or ''.
-- Answers 1 (deleted), 0 (it goes on, or is no session), or -1: something else has a name like a
-- session's.
local old = redis.pcall('HMGET', KEYS[1], 'secret', 'created', 'authenticated')
if old.err then
    -- A text that begins like this, or holds it: Redis 6.2 puts words of its own before it.
    if string.find(old.err, 'WRONGTYPE', 1, true) then
        return -1
    end
    return old
end
if not old[1] then
    return 0
end
local begun = tonumber(old[3] or old[2])
if not begun then
    return -1
end
if begun < tonumber(ARGV[1]) or ARGV[2] ~= '' and begun > tonumber(ARGV[2]) then
    return redis.call('DEL', KEYS[1])
end
return 0
