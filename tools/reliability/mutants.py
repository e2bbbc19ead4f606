"""Mutation testing: changes one operator or constant of a module at a time and asks whether its tests notice.

    python tools/reliability/mutants.py --count 300 --output output/mutants.json
    python tools/reliability/mutants.py --count 25 --only lcrnet_d2/modeling/ppi.py

Each mutant runs in a fork of this process, which has imported PyTorch already: it costs what its tests cost, where
mutmut and cosmic-ray would start Python anew each time. A test run over --seconds counts as noticed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
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

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "lcrnet_d2/modeling/ppi.py": "tests/modeling/test_ppi.py",
    "lcrnet_d2/evaluation/metrics.py": "tests/evaluation/test_metrics.py",
    "lcrnet_d2/modeling/pose_regression.py": "tests/modeling/test_pose_regression.py",
    "lcrnet_d2/data/pose_transforms.py": "tests/data/test_pose_transforms.py",
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
    return int(pytest.main([*options, str(ROOT / MODULES[module])]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="drawn at random of all")
    parser.add_argument("--only", choices=sorted(MODULES), nargs="*", default=list(MODULES))
    parser.add_argument("--seconds", type=int, default=300, help="for the tests of one mutant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("output/mutants.json"))
    args = parser.parse_args()
    os.chdir(ROOT)
    every = [(module, *mutant) for module in args.only for mutant in mutants((ROOT / module).read_text())]
    chosen = random.Random(args.seed).sample(every, min(args.count, len(every)))
    for module in args.only:
        importlib.import_module(module.removesuffix(".py").replace("/", "."))
        if is_noticed(module, ast.unparse(ast.parse((ROOT / module).read_text())), args.seconds):
            print(f"the tests of {module} fail without any change", file=sys.stderr)
            return 2
    print(f"{len(every)} mutants, {len(chosen)} of them tried", flush=True)
    rows, start = [], time.perf_counter()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    for module, line, change, source in chosen:
        noticed = is_noticed(module, source, args.seconds)
        rows.append({"module": module, "line": line, "change": change, "noticed": noticed})
        if not noticed:
            print(f"survived: {module}:{line} {change}", flush=True)
        args.output.write_text(json.dumps(rows, indent=1))
    killed = sum(row["noticed"] for row in rows)
    print(f"{killed} of {len(rows)} noticed, {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
