"""What is wrong with a dataset, before anything is trained on it.

`scan` decodes every image once and keeps a few facts of each; `inspect` finds damage, duplicates,
leaks and conflicts in them.
"""

from __future__ import annotations

from bench.inspection.findings import Inspection, Pair, inspect
from bench.inspection.items import Item
from bench.inspection.matching import Group
from bench.inspection.scanning import Scan, scan
from bench.inspection.warnings import Finding

__all__ = ["Finding", "Group", "Inspection", "Item", "Pair", "Scan", "inspect", "scan"]
