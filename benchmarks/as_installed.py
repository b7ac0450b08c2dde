"""Run a module as if only what the package needs was installed. Usage: as_installed MODULE ARGUMENT...

Two libraries are imported wherever they are, though nothing is asked of them: pandas by pyarrow, which takes a quarter of a
second, and PyYAML by ua-parser. ClickHouse's package brings the one, the tests the other.
"""

import runpy
import sys
from importlib.abc import MetaPathFinder

_NOT_NEEDED = ("pandas", "yaml")


class _NotInstalled(MetaPathFinder):
    def find_spec(self, name: str, *_: object) -> None:
        if name in _NOT_NEEDED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, _NotInstalled())
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
