-- A reader goes: what it still holds is looked after at once. Arguments: consumer.
redis.call('ZADD', ALIVE, exact(now), ARGV[3])
return 1
