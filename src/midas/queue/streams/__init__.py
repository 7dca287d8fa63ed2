"""Tasks on Redis Streams: the queue, its workers, and nothing of what the tasks are about."""

from midas.queue.streams.config import Limit, TaskPriority, TaskQueueConfig
from midas.queue.streams.dead_letters import DeadLetter
from midas.queue.streams.handlers import Batch
from midas.queue.streams.queue import TaskQueue
from midas.queue.streams.statistics import Statistics
from midas.queue.streams.task import NewTask, StreamTask
from midas.queue.streams.worker import Worker

__all__ = [
    "Batch",
    "DeadLetter",
    "Limit",
    "NewTask",
    "Statistics",
    "StreamTask",
    "TaskPriority",
    "TaskQueue",
    "TaskQueueConfig",
    "Worker",
]
