-- There are sagas of this name. Keys: the set of names. Arguments: name.
redis.call('SREM', KEYS[1], '') -- first of all: see go_on_without_memory
return redis.call('SADD', KEYS[1], ARGV[6])
