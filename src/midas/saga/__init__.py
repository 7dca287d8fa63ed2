"""Sagas on Redis: work in steps that survives the death of any process, and is undone where it cannot be finished."""

from midas.redis import Durability, NotDurable, UnsafeServer
from midas.saga.config import SagaConfig
from midas.saga.current import StepRun, current_step
from midas.saga.definition import Parallel, Release, SagaStep, StepKind, Unit, Wait
from midas.saga.errors import (
    InvalidContext,
    NotPossible,
    OrchestratorClosed,
    OwnershipLost,
    SagaDefinitionError,
    SagaError,
    SagaUnknown,
    Terminal,
    UnreadableContext,
    UnreadableSaga,
)
from midas.saga.observation import saga_names
from midas.saga.orchestrator import SagaOrchestrator
from midas.saga.oversight import SagaOversight
from midas.saga.records import SagaResult, SagaView, StepRecord, Transition
from midas.saga.states import SagaState, StepState

__all__ = [
    "Durability",
    "InvalidContext",
    "NotDurable",
    "NotPossible",
    "OrchestratorClosed",
    "OwnershipLost",
    "Parallel",
    "Release",
    "SagaConfig",
    "SagaDefinitionError",
    "SagaError",
    "SagaOrchestrator",
    "SagaOversight",
    "SagaResult",
    "SagaState",
    "SagaStep",
    "SagaUnknown",
    "SagaView",
    "StepKind",
    "StepRecord",
    "StepRun",
    "StepState",
    "Terminal",
    "Transition",
    "Unit",
    "UnreadableContext",
    "UnreadableSaga",
    "UnsafeServer",
    "Wait",
    "current_step",
    "saga_names",
]
