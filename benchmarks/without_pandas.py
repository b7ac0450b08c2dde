"""Run a module as if pandas were not installed. Usage: without_pandas MODULE ARGUMENT...

ClickHouse's package brings pandas, this one does not need it, and pyarrow imports it wherever it is, which takes a quarter of a
second.
"""

import runpy
import sys
from importlib.abc import MetaPathFinder


class _NoPandas(MetaPathFinder):
    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, _NoPandas())
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
