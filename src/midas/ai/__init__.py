"""Says what a payment was for, how sure that is, and what a user's payments add up to."""

from midas.ai.categorizer import TASK, Categorizer
from midas.ai.language_model import LanguageModel
from midas.ai.prediction import Prediction

__all__ = ["TASK", "Categorizer", "LanguageModel", "Prediction"]
