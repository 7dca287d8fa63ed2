"""Observing libraries: one file a library, in each of them `instrument(target, telemetry) -> undo`.

Importing one of these modules imports no library; `instrument` does, and says which extra brings it.
"""
