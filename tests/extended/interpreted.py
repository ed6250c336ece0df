"""`neural_digests` by the interpreter: kernels stay functions of Python. The arguments are the same."""

import runpy
import sys
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    kernels: Any = ModuleType("compressors.kernels")
    kernels.kernel = kernels.inlined = kernels.allocating = lambda function: function
    sys.modules["compressors.kernels"] = kernels
    runpy.run_module("tests.extended.neural_digests", run_name="__main__", alter_sys=True)
