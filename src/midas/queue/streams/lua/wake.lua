-- Somebody who waits shall look; he finds nothing if there is nothing.
go_on_without_memory()
wake_one_worker()
return 1
