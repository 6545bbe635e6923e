"""New plugins: a package of templates that installs and passes its test as it is."""

from bench.scaffold.naming import check_name
from bench.scaffold.package import Package, write

__all__ = ["Package", "check_name", "write"]
