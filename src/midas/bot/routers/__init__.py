"""The handlers by topic: each module has one function that makes its router."""

from midas.bot.routers.greetings import greetings
from midas.bot.routers.money import money
from midas.bot.routers.others import others, outside
from midas.bot.routers.questions import questions
from midas.bot.routers.statements import statements

__all__ = ["greetings", "money", "others", "outside", "questions", "statements"]
