-- Somebody who waits shall look; he finds nothing if there is nothing.
wake_one_worker()
return 1
