-- KEYS[1]: the record; on one server KEYS[2]: the end of all sessions, and KEYS[3]: what is known
-- of the sessions of the owner that it is thought to have. ARGV, where 's...' sets a value, 'u'
-- unsets it, and 'k' keeps what is there:
--   1 now, 2 to 4 the step (process, number, floor), 5 the ticket's secret, 6 its new secret, 7
--   seen, 8 sent or '', 9 expires, 10 '1' if it may shorten, 11 authenticated, 12 max_age, 13
--   owner, 14 the owner's name, 15 label, 16 the login or '', 17 whose index holds it ('k':
--   nobody's), 18 until when, 19 the owner of KEYS[3], 20 the record's id, 21 '1' if all values go,
--   22 how many values are expected, 23 how many are removed;
--   then the expected ones (key and 's...' or 'u'), the removed keys, and the set ones (key and value).
-- Answers 1 (updated), 0 (gone), 2 (conflict), 3 (its last login must first be settled), or an
-- owner, an end and 1 or 0: it was updated and the owner's index may not know it; or nothing was
-- changed, and the index must first hold until then.
local key = KEYS[1]
local old = redis.call('HMGET', key, 'secret', 'expires', 'seen', 'sent', 'owner', 'indexed', 'steps', 'login')
local secret, expires, seen, sent, owner, indexed, steps, login = unpack(old, 1, 8)
if not secret or tonumber(expires) < tonumber(ARGV[1]) then
    return 0
end
local function updated(whose, ends)
    if not whose or ARGV[19] == whose and redis.call('HEXISTS', KEYS[3], ARGV[20]) == 1 then
        return 1
    end
    return {whose, ends, 1}
end
local known, kept = taken(steps, ARGV[2], ARGV[3], ARGV[4])
if known then
    return updated(owner, expires)
end
if secret ~= ARGV[5] then
    return 0
end
if login then
    return 3
end
if KEYS[2] and ARGV[16] == '' and string.sub(ARGV[11], 1, 1) == 's' then
    local before = redis.call('HGET', KEYS[2], 'before')
    if before and tonumber(string.sub(ARGV[11], 2)) < tonumber(before) then
        return 0
    end
end

local next_arg = 24
for _ = 1, tonumber(ARGV[22]) do
    local value = redis.call('HGET', key, 'v:' .. ARGV[next_arg])
    if (value and 's' .. value or 'u') ~= ARGV[next_arg + 1] then
        return 2
    end
    next_arg = next_arg + 2
end

-- Times stay the texts they came as: Lua would write large numbers its own way.
local function later(a, b)
    return tonumber(b) > tonumber(a) and b or a
end
local ends = ARGV[10] == '1' and ARGV[9] or later(expires, ARGV[9])

local new_owner = owner
if ARGV[13] ~= 'k' then
    new_owner = string.sub(ARGV[13], 1, 1) == 's' and string.sub(ARGV[13], 2)
end
local holds = '0'
if new_owner then
    if new_owner == owner and indexed then
        holds = indexed
    end
    if ARGV[17] == 's' .. new_owner then
        holds = later(holds, ARGV[18])
    end
    if tonumber(holds) < tonumber(ends) then
        return {new_owner, ends, 0}
    end
end

local set, gone = {}, {}
local function put(field, value)
    set[#set + 1] = field
    set[#set + 1] = value
end
local function field(name, change)
    if change == 'u' then
        gone[#gone + 1] = name
    elseif change ~= 'k' then
        put(name, string.sub(change, 2))
    end
end
put('steps', kept)
put('seen', later(seen, ARGV[7]))
put('expires', ends)
if ARGV[8] ~= '' then
    put('sent', later(sent, ARGV[8]))
end
if new_owner then
    put('indexed', holds)
else
    gone[#gone + 1] = 'indexed'
end
if ARGV[16] ~= '' then
    put('login', ARGV[16])
end
if ARGV[6] ~= 'k' then
    put('was', secret)
    put('renewed', ARGV[1])
end
field('secret', ARGV[6])
field('authenticated', ARGV[11])
field('max_age', ARGV[12])
field('owner', ARGV[13])
field('name', ARGV[14])
field('label', ARGV[15])

-- From the first write on nothing can fail: a server without memory refuses that one.
redis.call('HSET', key, unpack(set))
if ARGV[21] == '1' then
    for _, name in ipairs(redis.call('HKEYS', key)) do
        if string.sub(name, 1, 2) == 'v:' then
            gone[#gone + 1] = name
        end
    end
end
for _ = 1, tonumber(ARGV[23]) do
    gone[#gone + 1] = 'v:' .. ARGV[next_arg]
    next_arg = next_arg + 1
end
-- Lua cannot pass any number of arguments.
for from = 1, #gone, 1000 do
    redis.call('HDEL', key, unpack(gone, from, math.min(from + 999, #gone)))
end
set = {}
for at = next_arg, #ARGV, 2 do
    put('v:' .. ARGV[at], ARGV[at + 1])
end
for from = 1, #set, 1000 do
    redis.call('HSET', key, unpack(set, from, math.min(from + 999, #set)))
end
redis.call('PEXPIREAT', key, ends)
return updated(new_owner, ends)
