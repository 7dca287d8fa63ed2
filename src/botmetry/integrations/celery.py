"""Observes Celery."""
