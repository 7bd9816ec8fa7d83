-- Before each script that takes a step on a record. The client sends a step again if it did not
-- hear the answer, and a network may deliver it late, so a record keeps which steps were taken, for
-- each process that took one within the last minute: 'process:when:floor:numbers;'. The floor is
-- the lowest number that the process had no answer to when it sent its newest step. It sends none
-- below that again, so what comes below it comes late, and the numbers above it are few.
local RESENT = 60
-- Returns whether a step was taken, and what the record keeps once it is.
local function taken(steps, process, number, floor)
    local now = tonumber(redis.call('TIME')[1])
    local known, others, numbers = false, '', number
    for whose, at, from, list in string.gmatch(steps or '', '(%x+):(%d+):(%d+):([%d,]*);') do
        if whose == process then
            if tonumber(from) > tonumber(floor) then
                floor = from
            end
            for one in string.gmatch(list, '%d+') do
                if one == number then
                    known = true
                elseif tonumber(one) >= tonumber(floor) then
                    numbers = numbers .. ',' .. one
                end
            end
        elseif now - tonumber(at) <= RESENT then
            others = others .. whose .. ':' .. at .. ':' .. from .. ':' .. list .. ';'
        end
    end
    known = known or tonumber(number) < tonumber(floor)
    return known, process .. ':' .. now .. ':' .. floor .. ':' .. numbers .. ';' .. others
end

