-- KEYS[1]: a record. ARGV: the epoch. Answers how many were deleted.
local old = redis.call('HMGET', KEYS[1], 'created', 'authenticated')
local begun = math.max(tonumber(old[1] or ARGV[1]), tonumber(old[2] or 0))
if begun < tonumber(ARGV[1]) then
    return redis.call('DEL', KEYS[1])
end
return 0
