"""Brings bank statements in and files what they say."""

from midas.sync.decisions import Applied
from midas.sync.imports import StatementImports
from midas.sync.service import ImportReport, SyncService
from midas.sync.statements import parse_statement

__all__ = ["Applied", "ImportReport", "StatementImports", "SyncService", "parse_statement"]
