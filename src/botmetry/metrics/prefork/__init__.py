"""Correct numbers from several processes: each writes its own file, and whoever is scraped adds up all of them.

`Telemetry("shop-bot", prefork=True)` shares with the processes that are forked from here afterwards: Celery's
prefork pool, gunicorn with `preload_app`, multiprocessing's `fork`, `os.fork`. Where each process imports the
program anew (multiprocessing's `spawn` and `forkserver`, gunicorn without preload, uvicorn's workers), all of
them are given the same folder: `Telemetry("shop-bot", prefork="/run/shop-metrics")`. A folder belongs to one
program on one machine, and is best a tmpfs. Its counters go on where they stopped when the program begins
again; an empty folder begins at 0.

What is shown, whichever process is scraped:

- Counters and histograms: the sum over the processes that live and all that ended, however they ended. What a
  call has counted when it returns outlives `kill -9`. Exemplars: the latest of each bucket.
- Gauges, by `across` of their declaration: `sum` or `max` over the processes that live, or the `latest` value
  set by any, which stays when its process ends. Queue sizes and pending confirmations are `latest`: they are
  asked from the store that all processes share. An info is 1.
- In progress: what living processes have started and not finished; who is killed has nothing in progress.
- Active users: each is counted once, whoever served the user. The processes hash ids with a key that lies in
  the folder.
- A gauge with a function, and a collector of prometheus_client: that of the scraped process. Others cannot be
  asked.
- `telemetry_series`: series after adding up. Each process keeps the limit of series for itself, and the archive
  of those that ended keeps it for all of them; so there are at most (living processes + 1) times the limit.
- `process_*`: sums over the processes that live, the start that of the oldest; `process_cpu_seconds_total`
  keeps what ended processes had spent when they were last seen. `python_gc_*` is left out: it would be another
  process's each time.
- `remove()` and `clear()` hold for all processes. One that goes on counting in a removed series makes it appear
  again, from 0; a gauge as it is.

What it relies on. Under the interpreter lock: that CPython does nothing else between the load and the store of
one `cells[i] += x` (a test reads the byte code). Without it: a lock a metric (`series.LOCKED`), and that
`list.append`, `deque.append` and `deque.popleft` are atomic. Of the machine: that 8 bytes at an address
divisible by 8 are stored and loaded whole. Of the kernel: `flock`, and that mapped memory and file are the same
pages. Of who forks: that Python knows of it; uWSGI needs `py-call-osafterfork`. In uses without these, such as
a network file system, it must not be used.
"""

from botmetry.metrics.prefork.keeping import InFolder
from botmetry.metrics.prefork.marks import Users

__all__ = ["InFolder", "Users"]
