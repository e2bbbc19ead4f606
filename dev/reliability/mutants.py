#!/usr/bin/env python3
"""Mutation testing: changes one operator or constant of a module at a time and asks whether its tests notice.

    python dev/reliability/mutants.py --count 300 --output output/mutants.json
    python dev/reliability/mutants.py --count 300 --shard 0/2    # and 1/2 beside it
    python dev/reliability/mutants.py --count 25 --only lcrnet_d2/modeling/ppi.py

Each mutant runs in a fork of this process, which has imported PyTorch already: it costs what its tests cost, where
mutmut and cosmic-ray would start Python anew each time. A test run over --seconds counts as noticed. What the output
holds of an earlier run is not tried again; a shard writes a file of its own (output/mutants.0-of-2.json).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import hashlib
import importlib
import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lcrnet_d2.sharding import Shard
from lcrnet_d2.structures.whole_files import write_json

ROOT = Path(__file__).resolve().parents[2]
_PPI_TESTS = ("tests/modeling/test_ppi.py", "tests/modeling/test_ppi_properties.py")
#: A module and its tests, the quickest to notice first.
MODULES = {
    "lcrnet_d2/modeling/ppi.py": _PPI_TESTS,
    "lcrnet_d2/modeling/suppression.py": ("tests/modeling/test_suppression.py",),
    "lcrnet_d2/evaluation/metrics.py": ("tests/evaluation/test_metrics.py",),
    "lcrnet_d2/modeling/pose_regression.py": ("tests/modeling/test_pose_regression.py",),
    "lcrnet_d2/data/pose_transforms.py": ("tests/data/test_pose_transforms.py",),
}
_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    **{ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,)},
    **{ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.MatMult: (ast.Mult,)},
    **{ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE)},
    **{ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,)},
    **{ast.And: (ast.Or,), ast.Or: (ast.And,), ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,)},
    **{ast.USub: (ast.UAdd,), ast.Invert: (ast.UAdd,)},
}


def mutants(source: str) -> list[tuple[int, str, str]]:
    """(line, what was changed, changed source) of every mutant; docstrings, annotations and imports are left alone."""
    tree = ast.parse(source)
    found = []
    for index, node in enumerate(_code(tree)):
        for change, new in _changes(node):
            changed = copy.deepcopy(tree)
            twin = next(n for i, n in enumerate(_code(changed)) if i == index)
            for field, value in new.items():
                setattr(twin, field, value)
            found.append((node.lineno, change, ast.unparse(ast.fix_missing_locations(changed))))
    return found


def _code(tree: ast.AST) -> Iterator[Any]:
    """Nodes that are run and have a line, in a fixed order."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Import | ast.ImportFrom | ast.Raise) or _is_text(child) or _is_names(child):
                continue
            if isinstance(child, ast.AST):
                if hasattr(child, "lineno"):
                    yield child
                yield from _code(child)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_names(node: Any) -> bool:
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"


def _changes(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.AugAssign):
        for other in _OPERATORS.get(type(node.op), ()):
            yield f"{type(node.op).__name__} -> {other.__name__}", {"op": other()}
    elif isinstance(node, ast.Compare):
        for other in _OPERATORS.get(type(node.ops[0]), ()):
            yield f"{type(node.ops[0]).__name__} -> {other.__name__}", {"ops": [other(), *node.ops[1:]]}
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} -> {not node.value}", {"value": not node.value}
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield f"{node.value} -> {node.value + 1}", {"value": node.value + 1}
    elif isinstance(node, ast.IfExp | ast.If | ast.While):
        yield "condition negated", {"test": ast.UnaryOp(ast.Not(), node.test)}


def is_noticed(module: str, source: str, seconds: int) -> bool:
    """Whether the tests of a module fail with this source in its place."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    signal.alarm(seconds)  # kills by default: noticed
    code = 1
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = _run_tests(module, source)
    finally:
        os._exit(code)


def _run_tests(module: str, source: str) -> int:
    import pytest

    name = module.removesuffix(".py").replace("/", ".")
    loaded = sys.modules[name]
    before = dict(vars(loaded))
    exec(compile(source, module, "exec"), vars(loaded))
    for other in [m for n, m in sys.modules.items() if n.startswith("lcrnet_d2") and m is not None]:
        for key, value in list(vars(other).items()):  # names that others imported from it
            if key in before and value is before[key] and other is not loaded:
                setattr(other, key, getattr(loaded, key))
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header"]
    return int(pytest.main([*options, *(str(ROOT / tests) for tests in MODULES[module])]))


def main() -> int:
    args = parse_arguments()
    os.chdir(ROOT)
    every = [(module, *mutant) for module in args.only for mutant in mutants((ROOT / module).read_text())]
    chosen = args.shard.of(random.Random(args.seed).sample(every, min(args.count, len(every))))
    output = args.shard.path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    rows = {row["key"]: row for row in json.loads(output.read_text())} if output.is_file() else {}
    keys = [key_of(module, source) for module, _, _, source in chosen]
    tried = sum(key in rows for key in keys)
    print(f"{len(every)} mutants, {len(chosen)} of them in question, {tried} tried before", flush=True)
    if not all_pass(args.only, args.seconds):
        return 2
    start = time.perf_counter()
    for key, (module, line, change, source) in zip(keys, chosen, strict=True):
        if key not in rows:
            noticed = is_noticed(module, source, args.seconds)
            rows[key] = {"module": module, "line": line, "change": change, "noticed": noticed, "key": key}
            write_json(output, list(rows.values()), indent=1)
        if not rows[key]["noticed"]:
            print(f"survived: {module}:{line} {change}", flush=True)
    noticed = sum(rows[key]["noticed"] for key in keys)
    print(f"{noticed} of {len(chosen)} noticed, {time.perf_counter() - start:.0f} s")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="drawn at random of all")
    parser.add_argument("--only", choices=sorted(MODULES), nargs="*", default=list(MODULES))
    parser.add_argument("--seconds", type=int, default=300, help="for the tests of one mutant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard", type=Shard.parse, default=Shard(), help="INDEX/COUNT: try a part")
    parser.add_argument("--output", type=Path, default=Path("output/mutants.json"))
    return parser.parse_args()


def key_of(module: str, source: str) -> str:
    """Names a mutant in this state of its module and of its tests: after a change to either it is tried anew."""
    tests = "".join((ROOT / name).read_text() for name in MODULES[module])
    return hashlib.sha256(f"{module}\n{source}\n{tests}".encode()).hexdigest()[:16]


def all_pass(modules: list[str], seconds: int) -> bool:
    """Whether the tests of every module pass without a change to it, run as a mutant's are."""
    for module in modules:
        importlib.import_module(module.removesuffix(".py").replace("/", "."))
    failing = [m for m in modules if is_noticed(m, ast.unparse(ast.parse((ROOT / m).read_text())), seconds)]
    for module in failing:
        print(f"the tests of {module} fail without any change", file=sys.stderr)
    return not failing


if __name__ == "__main__":
    sys.exit(main())
