-- ARGV: a record's id, until when it must be held. A session that was lost comes before all others
-- in the order.
local number, _, login, at = entry(ARGV[1])
keep(ARGV[1], number or '0', ARGV[2], login or '0', at or '0')
return 1
