-- ARGV: ids of sessions that have ended, each followed by the number of the login that it ended with, or ''. One that has
-- logged in since stays.
for at = 1, #ARGV, 2 do
    if ARGV[at + 1] == '' or redis.call('ZSCORE', KEYS[1], ARGV[at]) == ARGV[at + 1] then
        forget(ARGV[at])
    end
end
return 1
