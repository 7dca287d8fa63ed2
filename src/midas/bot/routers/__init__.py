"""The handlers by topic: each module has a function that makes its router."""

from midas.bot.routers.greetings import greetings_router
from midas.bot.routers.money import money_router
from midas.bot.routers.others import others_router, outside_router
from midas.bot.routers.questions import questions_router
from midas.bot.routers.statements import statements_router
from midas.bot.routers.transfers import transfers_router

__all__ = [
    "greetings_router",
    "money_router",
    "others_router",
    "outside_router",
    "questions_router",
    "statements_router",
    "transfers_router",
]
