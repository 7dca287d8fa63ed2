"""Every metric that botmetry emits, as data.

Whatever speaks of a metric starts here: the families, the exposition, the dashboards' queries, the check of
the alert rules, the printed table. A metric that is not a line of this folder does not exist.
"""

from botmetry.metrics.catalogue.table import CATALOGUE, FAMILIES, OTHER, family

__all__ = ["CATALOGUE", "FAMILIES", "OTHER", "family"]
