-- KEYS[1]: the record. ARGV, where 's...' sets a value, 'u' unsets it, and 'k' keeps what is there:
--   1 now, 2 the step's id, 3 the ticket's secret, 4 its new secret, 5 seen, 6 sent or '', 7 expires, 8 '1' if it may
--   shorten, 9 authenticated, 10 max_age, 11 owner, 12 label, 13 whose index was written ('k': nobody's), 14 until when that
--   index holds, 15 '1' if all values go, 16 how many values are expected, 17 how many are removed;
--   then the expected ones (key and 's...' or 'u'), the removed keys, and the set ones (key and value).
-- Answers 1 (updated), 0 (gone), 2 (conflict), or an owner and an end: nothing was changed, the owner's index must first
-- hold until then.
local key = KEYS[1]
local STEP, STEPS = 8, 4
local old = redis.call('HMGET', key, 'secret', 'expires', 'seen', 'sent', 'owner', 'indexed', 'steps')
local secret, expires, seen, sent, owner, indexed, steps = unpack(old, 1, 7)
if not secret or tonumber(expires) < tonumber(ARGV[1]) then
    return 0
end
-- The client sends a step again if it did not hear the answer.
for from = 1, #steps, STEP do
    if string.sub(steps, from, from + STEP - 1) == ARGV[2] then
        return 1
    end
end
if secret ~= ARGV[3] then
    return 0
end

local next_arg = 18
for _ = 1, tonumber(ARGV[16]) do
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
local ends = ARGV[8] == '1' and ARGV[7] or later(expires, ARGV[7])

local new_owner = owner
if ARGV[11] ~= 'k' then
    new_owner = string.sub(ARGV[11], 1, 1) == 's' and string.sub(ARGV[11], 2)
end
local holds = '0'
if new_owner then
    if new_owner == owner and indexed then
        holds = indexed
    end
    if ARGV[13] == 's' .. new_owner then
        holds = later(holds, ARGV[14])
    end
    if tonumber(holds) < tonumber(ends) then
        return {new_owner, ends}
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
put('steps', string.sub(ARGV[2] .. steps, 1, STEP * STEPS))
put('seen', later(seen, ARGV[5]))
put('expires', ends)
if ARGV[6] ~= '' then
    put('sent', later(sent, ARGV[6]))
end
if new_owner then
    put('indexed', holds)
else
    gone[#gone + 1] = 'indexed'
end
field('secret', ARGV[4])
field('authenticated', ARGV[9])
field('max_age', ARGV[10])
field('owner', ARGV[11])
field('label', ARGV[12])

-- From the first write on nothing can fail: a server without memory refuses that one.
redis.call('HSET', key, unpack(set))
if ARGV[15] == '1' then
    for _, name in ipairs(redis.call('HKEYS', key)) do
        if string.sub(name, 1, 2) == 'v:' then
            gone[#gone + 1] = name
        end
    end
end
for _ = 1, tonumber(ARGV[17]) do
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
return 1
