-- Which tasks were given up? Returns their ids, the oldest first.
return redis.call('ZRANGE', DEAD, 0, -1)
