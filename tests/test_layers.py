"""Import contracts: bench -> proxylm -> compressors, kernels apart, command-line modules imported by nobody."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("compressors", "proxylm", "bench")
MAY_IMPORT = {
    "compressors": {"compressors"},
    "proxylm": {"proxylm", "compressors"},
    "bench": {"bench", "proxylm", "compressors"},
}
# Modules that pull in heavy or optional packages, and what no other module may load when it is imported.
TORCH = {
    "bench.budgets",
    "bench.plan",
    "bench.final",
    "bench.generation_speed",
    "bench.train_parts",
    "bench.copying",
    "bench.train_speed",
    "proxylm.ahead",
    "proxylm.attention",
    "proxylm.boards",
    "proxylm.cache",
    "proxylm.checkpoint",
    "proxylm.evaluate",
    "proxylm.export",
    "proxylm.generate",
    "proxylm.heads",
    "proxylm.embeddings",
    "proxylm.model",
    "proxylm.optim",
    "proxylm.places",
    "proxylm.scoring",
    "proxylm.sharding",
    "proxylm.train",
}
BPE_KERNELS = {
    f"compressors.bpe.{name}" for name in ("_classify", "_encode", "_entropy", "_merge", "_o200k", "_split", "_words")
}
NUMBA = {
    "compressors.kernels",
    "compressors.bpe.decoder",
    "compressors.neural._network",
    "compressors.neural._training",
    "compressors.neural._windows",
    "proxylm.chunks",
    "proxylm.interleave",
    "proxylm.rows",
} | BPE_KERNELS
COMMAND_LINE = {
    "compressors.cli",
    "compressors.files_cli",
    "proxylm.cli",
    "proxylm.commands",
    "proxylm.store_commands",
    "proxylm.tasks_commands",
    "proxylm.train_commands",
    "bench.cli",
    "bench.compare",
    "bench.demo",
    "bench.final",
    "bench.grid",
    "bench.page",
    "bench.tables_command",
}
BASE = {"compressors.base": {"compressors.errors"}, "compressors.errors": set()}


def imported(path: Path) -> set[str]:
    """Names of the modules a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(root: Path) -> list[str]:
    """Every breach of the contracts below `root`."""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            for name in sorted(imported(path)):
                top = name.partition(".")[0]
                if top in PACKAGES and top not in MAY_IMPORT[package]:
                    found.append(f"{module} imports {name}: wrong direction")
                if name in COMMAND_LINE:
                    found.append(f"{module} imports {name}: command-line modules are imported by nobody")
                if top == "torch" and module not in TORCH:
                    found.append(f"{module} imports torch")
                if top == "numba" and module not in NUMBA:
                    found.append(f"{module} imports numba")
                if module in BASE and top in PACKAGES and not any(name.startswith(allowed) for allowed in BASE[module]):
                    found.append(f"{module} imports {name}: base and errors import nothing of ours")
    return found


def test_contracts_hold():
    assert violations(ROOT) == []


def test_comparing_compressors_or_results_loads_neither_torch_nor_numba():
    """`proxyc bench codecs` measures each codec, in each round, in a process that imports this."""
    code = "import sys, bench.compare, bench.tables; print({'torch', 'numba'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_planted_violations_are_found(tmp_path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    planted = {
        "compressors/planted.py": "from proxylm.store import Store",
        "proxylm/planted.py": "def f():\n    import bench.codecs",
        "bench/planted.py": "import compressors.cli\nimport torch",
    }
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "compressors/base.py").write_text("import compressors.registry")
    assert len({line.partition(" ")[0] for line in violations(tmp_path)}) == 4
    assert len(violations(tmp_path)) >= 5
