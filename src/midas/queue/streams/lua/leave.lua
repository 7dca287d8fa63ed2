-- A reader goes: what it still holds is looked after at once. Arguments: consumer.
go_on_without_memory()
redis.call('ZADD', ALIVE, exact(now), ARGV[3])
return 1
