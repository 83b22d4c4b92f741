"""Change a module of the library right after its import, in the processes of a run.

Python imports the module `sitecustomize` when it starts, if its folder is on PYTHONPATH.
"""

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType


class AfterImport:
    """An entry of `sys.meta_path` that calls `change` with a module after its import."""

    def __init__(self, name: str, change: Callable[[ModuleType], None]):
        self.name, self.change = name, change
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_change(module):
            run(module)
            self.change(module)

        spec.loader.exec_module = run_and_change
        return spec
