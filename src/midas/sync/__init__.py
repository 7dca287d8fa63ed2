"""Brings bank statements in, files what they say, and moves money between cards."""

from midas.sync.decisions import Applied
from midas.sync.imports import StatementImports
from midas.sync.service import ImportReport, SyncService
from midas.sync.statements import parse_statement
from midas.sync.transfers import CardTransfers

__all__ = ["Applied", "CardTransfers", "ImportReport", "StatementImports", "SyncService", "parse_statement"]
