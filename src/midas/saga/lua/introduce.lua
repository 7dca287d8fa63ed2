-- There are sagas of this name. Keys: the set of names. Arguments: name.
return redis.call('SADD', KEYS[1], ARGV[6])
