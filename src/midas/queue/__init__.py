"""Queues of tasks on Redis, with priorities, leases and results; they know nothing of what the tasks are about."""

from midas.queue.ai_task_queue import AITaskQueue
from midas.queue.errors import (
    GiveUp,
    InvalidTask,
    LeaseLost,
    QueueFull,
    Retry,
    TaskCancelled,
    UnreadableTask,
)
from midas.queue.keeper import LeaseKeeper
from midas.queue.keys import QueueKeys
from midas.queue.streams import (
    Batch,
    DeadLetter,
    Limit,
    NewTask,
    Statistics,
    StreamTask,
    TaskPriority,
    TaskQueue,
    TaskQueueConfig,
    Worker,
)
from midas.queue.tasks import DeadTask, Task, TaskStatus
from midas.redis import Durability, NotDurable, UnsafeServer

__all__ = [
    "AITaskQueue",
    "Batch",
    "DeadLetter",
    "DeadTask",
    "Durability",
    "GiveUp",
    "InvalidTask",
    "LeaseKeeper",
    "LeaseLost",
    "Limit",
    "NewTask",
    "NotDurable",
    "QueueFull",
    "QueueKeys",
    "Retry",
    "Statistics",
    "StreamTask",
    "Task",
    "TaskCancelled",
    "TaskPriority",
    "TaskQueue",
    "TaskQueueConfig",
    "TaskStatus",
    "UnreadableTask",
    "UnsafeServer",
    "Worker",
]
