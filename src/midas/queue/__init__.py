"""A queue of tasks on Redis, with priorities, leases and results; it knows nothing of what the tasks are about."""

from midas.queue.ai_task_queue import AITaskQueue
from midas.queue.errors import InvalidTask, LeaseLost, UnreadableTask
from midas.queue.keeper import LeaseKeeper
from midas.queue.keys import QueueKeys
from midas.queue.tasks import DeadTask, Task, TaskStatus

__all__ = [
    "AITaskQueue",
    "DeadTask",
    "InvalidTask",
    "LeaseKeeper",
    "LeaseLost",
    "QueueKeys",
    "Task",
    "TaskStatus",
    "UnreadableTask",
]
