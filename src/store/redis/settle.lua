-- KEYS[1]: the record. ARGV: the login that is settled. Answers 1, or 0 if the record has gone.
local secret, login = unpack(redis.call('HMGET', KEYS[1], 'secret', 'login'), 1, 2)
if not secret then
    return 0
end
if login == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'login')
end
return 1
