#!/usr/bin/env python3
"""Damages valid files at random and reads them: only documented errors may come out.

    python dev/reliability/fuzz_readers.py --inputs 10000            # every reader; hours
    python dev/reliability/fuzz_readers.py --inputs 500 --only BVH PNG

Readers run in a process with a limit on its memory and on the time for each file. Whatever is not a result or a
documented error (another exception, a crash, a hang, too much memory) is counted and its file kept in --work.
Exit code 1 if there was any.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mutations import mutated
from readers import READERS, Reader

from lcrnet_d2.structures.whole_files import write_json

#: The alarm of a file reaches Python code alone; a process that is silent for so many times as long is killed.
_PATIENCE = 4


class TooSlow(BaseException):
    """Raised by the alarm; no Exception, so that no reader takes it for its own."""


def main() -> int:
    args = parse_arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name in args.only or READERS:
        rows[name] = fuzz(name, args)
        print(f"{name}: {rows[name]}", flush=True)
        write_json(args.work / "report.json", rows, indent=1)
    return int(any(row["undocumented"] for row in rows.values()))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="per reader")
    parser.add_argument("--only", nargs="*", choices=sorted(READERS), help="readers")
    parser.add_argument("--work", type=Path, default=Path("output/fuzz"), help="folder for the report and bad files")
    parser.add_argument("--memory", type=float, default=1.0, help="GB that reading a file of some kB may take")
    parser.add_argument("--seconds", type=int, default=5, help="for each file")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def fuzz(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Counts of what came out of one reader."""
    folder = args.work / name.replace(" ", "_").replace("/", "_")
    folder.mkdir(exist_ok=True)
    sample = folder / f"sample{READERS[name].suffix}"
    READERS[name].sample(sample)
    READERS[name].read(sample)
    counts = {"inputs": 0, "read": 0, "refused": 0, "undocumented": 0, "slowest_s": 0.0}
    start = time.perf_counter()
    while counts["inputs"] < args.inputs:  # once, unless a file kills the process
        parent, child = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.get_context("fork").Process(
            target=work, args=(READERS[name], sample, folder, counts["inputs"], args, child)
        )
        worker.start()
        child.close()
        receive(parent, counts, _PATIENCE * args.seconds)
        worker.kill()  # has ended, or hangs in code that no alarm interrupts
        worker.join()
        if counts["inputs"] < args.inputs:
            counts["inputs"] += 1
            counts["undocumented"] += 1
            keep(
                folder,
                folder / f"input{sample.suffix}",
                counts["inputs"] - 1,
                f"killed the process, or hung: exit code {worker.exitcode}",
            )
    return counts | {"seconds": round(time.perf_counter() - start)}


def receive(pipe: Any, counts: dict[str, Any], patience: int) -> None:
    """Counts what comes, until nothing has come for so many seconds."""
    while pipe.poll(patience):
        try:
            kind, seconds = pipe.recv()
        except EOFError:
            return
        counts["inputs"] += 1
        counts[kind] += 1
        counts["slowest_s"] = max(counts["slowest_s"], round(seconds, 2))


def work(reader: Reader, sample: Path, folder: Path, first: int, args: argparse.Namespace, pipe: Any) -> None:
    """Files `first` and later, each from its own seed."""
    limit = memory_in_use() + int(args.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, raise_too_slow)
    warnings.simplefilter("ignore")
    content = sample.read_bytes()
    path = folder / f"input{reader.suffix}"
    for number in range(first, args.inputs):
        path.write_bytes(mutated(content, random.Random(args.seed * 10**9 + number)))
        start = time.perf_counter()
        signal.alarm(args.seconds)
        try:
            kind = outcome(reader, path, folder, number)
        except TooSlow:
            kind = "undocumented"
            keep(folder, path, number, f"more than {args.seconds} s")
        finally:
            signal.alarm(0)
        pipe.send((kind, time.perf_counter() - start))


def outcome(reader: Reader, path: Path, folder: Path, number: int) -> str:
    try:
        reader.read(path)
    except reader.errors:
        return "refused"
    except Exception as error:  # this is what the script is looking for
        keep(folder, path, number, repr(error)[:500])
        return "undocumented"
    return "read"


def raise_too_slow(*_: Any) -> None:
    raise TooSlow


def memory_in_use() -> int:
    """Bytes of address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def keep(folder: Path, path: Path, number: int, reason: str) -> None:
    """The file and what came out of it, of the first 20 of a reader."""
    if len(list(folder.glob("bad_*.txt"))) < 20:
        (folder / f"bad_{number}{path.suffix}").write_bytes(path.read_bytes())
        (folder / f"bad_{number}.txt").write_text(reason)


if __name__ == "__main__":
    sys.exit(main())
