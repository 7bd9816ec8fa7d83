-- ARGV: a record's id, until when it must be held. A session that was lost from the order comes first in it.
redis.call('ZADD', KEYS[1], 'NX', 0, ARGV[1])
redis.call('ZADD', KEYS[2], 'GT', ARGV[2], ARGV[1])
tidy()
return 1
