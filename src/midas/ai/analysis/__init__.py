"""What a user's payments add up to: where money goes, what to plan, what is strange.

Pure functions over transactions, computing and nothing else: call them in a thread when there are many. All
amounts in results are positive, in units of one currency, rounded to its smallest unit.
"""

from midas.ai.analysis.anomalies import Anomaly, find_anomalies
from midas.ai.analysis.budgets import BudgetRecommendation, budget_recommendation
from midas.ai.analysis.spending import CategorySpending, SpendingAnalysis, analyze_spending

__all__ = [
    "Anomaly",
    "BudgetRecommendation",
    "CategorySpending",
    "SpendingAnalysis",
    "analyze_spending",
    "budget_recommendation",
    "find_anomalies",
]
