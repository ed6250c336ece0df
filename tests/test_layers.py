"""Import rules by path: which room may use which. A rule names folders and files, so a new module needs no line here."""

import ast
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("compressors", "proxylm", "bench")

# From the lowest layer to the highest: a module imports its own layer and lower ones. The first pattern that fits counts.
LAYERS = (
    ("compressors.errors",),
    ("compressors.base", "compressors.symbol_coder"),
    (
        "compressors.artifact",
        "compressors.atomic",
        "compressors.file_metadata",
        "compressors.kernels",
        "compressors._machine_words",
    ),
    (
        "compressors.files",
        "compressors.files.*",
        "compressors.doctor",
        "compressors.interop",
        "compressors.interop.*",
        "compressors.testing*",
    ),
    ("compressors.cli", "compressors.cli.*"),
    ("compressors", "compressors.*"),
    ("proxylm", "proxylm.view_spec"),
    ("proxylm.config", "proxylm.config_files", "proxylm.train_config"),
    ("proxylm.data", "proxylm.data.*"),
    ("proxylm.model", "proxylm.model.*"),
    ("proxylm.evaluation", "proxylm.evaluation.*", "proxylm.generation"),
    ("proxylm.training", "proxylm.training.*"),
    ("proxylm.trained",),
    ("proxylm.interop", "proxylm.interop.*"),
    ("proxylm.cli", "proxylm.cli.*", "proxylm.__main__"),
    ("bench", "bench.*"),
)
# The order of the layers above, by the place in the table: codecs stand below what opens files.
ORDER = (0, 1, 2, 5, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)

# Packages that only some places may import, and where.
ONLY_IN = {
    "torch": (
        "proxylm.model.*", "proxylm.training.*", "proxylm.evaluation.*", "proxylm.interop.*", "proxylm.generation",
        "bench.speed.*", "bench.downstream.*",
    ),
    "numba": ("compressors.*._*", "compressors._*", "compressors.kernels"),
    "click": ("*.cli", "*.cli.*", "bench.*"),
}  # fmt: skip

# What commands print with, and options that several have: the commands of bench use these, too.
SHARED = (
    "compressors.cli.printing",
    "compressors.cli.progress",
    "compressors.cli.shown",
    "compressors.cli.table",
    "proxylm.cli.step_progress",
    "proxylm.cli.device_options",
)

# What is known in few places: names, and where they may be used. Shards of a store are opened by their suffixes.
MARKS = {"BOS", "EOS", "RAW_OPEN", "RAW_CLOSE", "COMP_OPEN", "COMP_CLOSE"}
KNOWS_MARKS = ("proxylm.data.alphabet", "proxylm.data.frame")
STORE_FILES = {"manifest.json", "bin", "off", "len", "splits", ".bin", ".off", ".len", ".splits"}
OPENS_STORES = (
    "proxylm.data.store",
    "proxylm.data.column",
    "proxylm.data.store_writer",
    "proxylm.data.export",
)  # the last: files of others


def module_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Names of the modules a file imports, anywhere in it; `from a import b` counts as a and as a.b.

    Of an `__init__` without what only type checkers import: the names that it has by lazy attribute.
    """
    found: set[str] = set()
    nodes = list(ast.walk(ast.parse(path.read_text())))
    if path.name == "__init__.py":
        guarded = [node for node in nodes if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
        unseen = {inner for node in guarded for inner in ast.walk(node)}
        nodes = [node for node in nodes if node not in unseen]
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def fits(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(module, pattern) for pattern in patterns)


def layer(module: str) -> int:
    """The height of a module: 0 is the lowest."""
    return ORDER.index(next(i for i, patterns in enumerate(LAYERS) if fits(module, patterns)))


def breaches(module: str, name: str) -> list[str]:
    """What is wrong with `module` importing the module `name`."""
    found, top = [], name.partition(".")[0]
    if top in ONLY_IN and not fits(module, ONLY_IN[top]):
        found.append(f"{module} imports {top}")
    if top not in PACKAGES:
        return found
    if layer(name) > layer(module):
        found.append(f"{module} imports {name}, which stands above it")
    is_shared = name in SHARED and fits(module, ("bench.*",))
    if ".cli" in name and not is_shared and not fits(module, ("*.cli", "*.cli.*", "proxylm.__main__", "bench.cli")):
        found.append(f"{module} imports {name}: command-line modules are imported by nobody")
    if (package := codec_package(name)) and package not in module and layer(module) == layer("compressors.zstd"):
        found.append(f"{module} imports {name}, a package of another codec")
    return found


def misplaced(module: str, tree: ast.AST) -> list[str]:
    """What a module knows and should ask another one for."""
    found = []
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if name in MARKS and not fits(module, KNOWS_MARKS):
            found.append(f"{module} uses {name}; ask proxylm.data.frame")
        if (
            isinstance(node, ast.Constant)
            and node.value in STORE_FILES
            and not fits(module, (*OPENS_STORES, "bench.*"))
        ):
            found.append(f"{module} names {node.value!r}, a file of a store; ask proxylm.data.store")
    return found


def codec_package(name: str) -> str | None:
    """compressors.bpe or compressors.neural, if `name` is inside one."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[:2] in (["compressors", "bpe"], ["compressors", "neural"]) else None


def violations(root: Path) -> list[str]:
    """Every breach of the rules below `root`."""
    files = {module_of(path, root): path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))}
    found = []
    for module, path in files.items():
        if not any(fits(module, patterns) for patterns in LAYERS):
            found.append(f"{module} stands in no room of the tree")
            continue
        if module.startswith(("proxylm", "bench")):
            found += misplaced(module, ast.parse(path.read_text()))
        for name in sorted(imported(path)):
            if name not in files and name.rpartition(".")[0] in files:
                continue  # `from a.b import c` where c is not a module: a.b is looked at by itself
            found += breaches(module, name)
    return found


def test_rules_hold():
    assert violations(ROOT) == []


def test_printing_a_table_loads_neither_torch_nor_numba():
    """`proxyc bench codecs` measures each codec, in each round, in a process that imports this."""
    modules = (
        "bench.codecs.command, bench.report.command, bench.report.fill_tables, bench.report.page, bench.speed.files"
    )
    code = f"import sys, {modules}; print({{'torch', 'numba'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_planted_violations_are_found(tmp_path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    planted = {
        "compressors/planted.py": ("from proxylm.data.store import Store", "import compressors.bpe.codec"),
        "compressors/base.py": ("import compressors.registry",),
        "proxylm/planted.py": ("import torch",),
        "proxylm/config.py": ("def f():\n    import bench.codecs", "import torch"),
        "proxylm/data/planted.py": ("from proxylm.training import trainer",),
        "bench/planted.py": (
            "import compressors.cli.codecs",
            "import numba",
            "RAW_OPEN = 12",
        ),
        "proxylm/evaluation/planted.py": ("x = open('manifest.json')",),
        "proxylm/generation.py": ("from proxylm.data import alphabet", "x = alphabet.EOS"),
    }
    for name, lines in planted.items():
        (tmp_path / name).write_text("\n".join(lines))
    found = violations(tmp_path)
    for name, lines in planted.items():
        module = module_of(Path(name), Path())
        wrong = [line for line in lines if line != "from proxylm.data import alphabet"]
        assert len([line for line in found if line.startswith(module + " ")]) >= len(wrong), module
