"""Everything that is remembered for ever, in PostgreSQL.

``open_store`` gives the repositories over one pool; ``migrations.apply`` brings the schema there first.
"""

from midas.store.store import Store, open_store

__all__ = ["Store", "open_store"]
