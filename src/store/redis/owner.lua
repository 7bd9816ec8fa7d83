-- Before each script on what is known of an owner's sessions. KEYS[1]: a hash. For each session its
-- id and 'number ends login at': the number of its last login, which is 0 if that is not known any
-- more; until when it must be held; that login, and the second when it was. Besides them the `last`
-- number, the `mark`, which each end of all of them changes, when that `ended` them, the latest of
-- all `ends`, and `tidy`: with more fields than that it is worth looking for sessions that have
-- ended.
local key = KEYS[1]
local DAY = 24 * 60 * 60 * 1000
-- The time of the server: those of clients differ.
local time = redis.call('TIME')
-- Times and numbers stay the texts they came as: Lua would write large ones its own way.
local function text(number)
    return string.format('%.0f', number)
end
local function later(a, b)
    return tonumber(b) > tonumber(a) and b or a
end
local function entry(id)
    local value = redis.call('HGET', key, id)
    if value then
        return string.match(value, '^(%d+) (%d+) (%d+) (%d+)$')
    end
end
local function tidy()
    local all = redis.call('HGETALL', key)
    local left, ends, now = 0, '0', tonumber(time[1]) * 1000
    for at = 1, #all, 2 do
        local held = string.match(all[at + 1], '^%d+ (%d+) %d+ %d+$')
        if held and tonumber(held) < now then
            redis.call('HDEL', key, all[at])
        elseif held then
            left, ends = left + 1, later(ends, held)
        end
    end
    redis.call('HSET', key, 'tidy', text(2 * left + 16), 'ends', ends)
end
-- Keeps a session until it ends, and the hash as long as each of them.
local function keep(id, number, ends, login, at)
    local held = id and select(2, entry(id)) or '0'
    if id then
        ends = later(held, ends)
        redis.call('HSET', key, id, number .. ' ' .. ends .. ' ' .. login .. ' ' .. at)
    end
    if redis.call('HLEN', key) > tonumber(redis.call('HGET', key, 'tidy') or '16') then
        tidy()
    end
    ends = later(redis.call('HGET', key, 'ends') or '0', ends)
    redis.call('HSET', key, 'ends', ends)
    redis.call('PEXPIREAT', key, later(text(tonumber(time[1]) * 1000 + DAY), ends))
end

