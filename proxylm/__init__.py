"""symbols -> batches -> loss: one model trained on raw bytes and on a compressed view of the same documents.

The names below are loaded when they are first used: `import proxylm` loads neither torch nor numba.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxylm.config import RunConfig
    from proxylm.data.store import Store
    from proxylm.trained import Trained, evaluate, generate, open_run, train

__all__ = ["RunConfig", "Store", "Trained", "evaluate", "generate", "open_run", "train"]

_MODULES = {"RunConfig": "proxylm.config", "Store": "proxylm.data.store"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'proxylm' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES.get(name, "proxylm.trained")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
