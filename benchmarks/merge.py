"""Merging alone, measured: mergekit 0.1.5, eager torch and evolve's executor on the same checkpoints, and the floor.

    python benchmarks/merge.py --size 1b --json merge-1b.json

Prints tables in Markdown for docs/benchmarks.md. Every figure is a process of its own with one thread, and the files of
the checkpoints are in the page cache:

- mergekit-yaml: the whole process of the command, model written;
- mergekit library: the second of two calls of run_merge in one process, so without its start, model written;
- eager: the recipe on whole tensors in memory, site after site;
- first, later: LiveModel.apply, for the first candidate of a process, and for later ones with other weights each, with
  other densities too, or with other weights in one layer only;
- floor: bytes of the donors that the method reads and of one model, over the bandwidth of a copy (bytes read and
  written). Nothing that passes through memory once is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from merge_cases import BASE, DONORS, METHODS, SIZES, Method

from evolve.resources import cache_folder

HERE = Path(__file__).resolve().parent
MERGEKIT = "mergekit==0.1.5"
FIGURES = {
    "mergekit_yaml": "mergekit-yaml",
    "mergekit_library": "mergekit library",
    "eager": "eager",
    "first": "first",
    "weights": "later, weights",
    "densities": "later, densities",
    "layer": "later, one layer",
}
PEERS = ("mergekit_library", "mergekit_yaml")
_POLL_S = 0.01
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_COPY_MIB = 512


@dataclass(frozen=True)
class Finished:
    """A process that has ended well: the last line it printed, seconds, and the peak of its memory."""

    line: str
    wall_s: float
    cpu_s: float
    peak_bytes: int


def run(command: list[str]) -> Finished:
    """Runs a command with one thread and without network; user and system seconds come from the kernel."""
    environment = {
        **os.environ,
        **dict.fromkeys(_THREADS, "1"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        peak = 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, peak_bytes(process.pid))
            time.sleep(_POLL_S)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().strip()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{text[-3000:]}")
    return Finished(text.rpartition("\n")[2], wall_s, usage.ru_utime + usage.ru_stime, peak)


def peak_bytes(pid: int) -> int:
    """The kernel's own peak of a process's resident memory; 0 for one that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def part(*arguments: Any) -> tuple[dict[str, Any], int]:
    """The result of benchmarks/merge_parts.py and the peak of its memory."""
    done = run([sys.executable, str(HERE / "merge_parts.py"), *map(str, arguments)])
    return json.loads(done.line), done.peak_bytes


def checkpoints(scratch: Path, size: str, device: str) -> Path:
    """The folder of the donors, made unless it is there."""
    folder = scratch / f"merge-{size}-{device.partition(':')[0]}"
    if not (folder / "complete").exists():
        say(f"writing {len(DONORS)} checkpoints to {folder}")
        part("checkpoints", folder, size, device)
        (folder / "complete").touch()
    return folder


def in_page_cache(folder: Path) -> None:
    for donor in DONORS:
        with (folder / donor / "model.safetensors").open("rb", buffering=0) as file:
            while file.read(2**24):
                pass


def mergekit_python(chosen: str | None) -> Path:
    """An interpreter that has mergekit: the one named, else that of an environment in evolve's cache, made if absent.

    Both sides then have the same torch.
    """
    if chosen:
        return Path(chosen)
    folder = cache_folder() / MERGEKIT.replace("==", "-")
    if not (folder / "complete").exists():
        torch = f"torch=={version('torch').partition('+')[0]}"
        say(f"installing {MERGEKIT} and {torch} in {folder}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", MERGEKIT, torch], check=True)
        (folder / "complete").touch()
    return folder / "bin" / "python"


def mergekit(python: Path, method: Method, folder: Path, scratch: Path) -> dict[str, dict[str, float]]:
    """Seconds of the command and of the library."""
    config, output = scratch / "mergekit.yml", scratch / "merged"
    config.write_text(yaml.safe_dump(method.mergekit(folder), sort_keys=False))
    shutil.rmtree(output, ignore_errors=True)
    command = run([str(python.with_name("mergekit-yaml")), str(config), str(output), "--quiet"])
    library = run([str(python), str(HERE / "merge_mergekit.py"), str(config), str(output)])
    shutil.rmtree(output, ignore_errors=True)
    return {
        "mergekit_yaml": {"wall_s": command.wall_s, "cpu_s": command.cpu_s},
        "mergekit_library": json.loads(library.line),
    }


def measure(method: Method, folder: Path, options: argparse.Namespace, python: Path | None) -> dict[str, Any]:
    """All figures of one method, once; the copy is measured beside what it is compared with."""
    device = options.device
    found: dict[str, Any] = {}
    if python is not None:
        found |= mergekit(python, method, folder, options.scratch)
    found["eager"], _ = part("eager", folder, method.name, device)
    executed, peak = part("executor", folder, method.name, device, options.candidates)
    copied, _ = part("copy", _COPY_MIB, device)
    return {**found, **executed, **copied, "peak_bytes": peak}


def medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """One row from the repetitions of a method: median seconds, largest memory."""
    row = {key: value for key, value in rounds[0].items() if key not in (*FIGURES, "bytes_per_s", "peak_bytes")}
    for name in FIGURES:
        if name in rounds[0]:
            row[name] = {key: statistics.median(one[name][key] for one in rounds) for key in ("wall_s", "cpu_s")}
    row["bytes_per_s"] = max(one["bytes_per_s"] for one in rounds)
    row["peak_bytes"] = max(one["peak_bytes"] for one in rounds)
    return row


def seconds_table(rows: dict[str, dict[str, Any]], key: str) -> str:
    """Seconds of every method; the last columns compare later candidates (other weights) with floor and mergekit."""
    measured = [(name, title) for name, title in FIGURES.items() if name in next(iter(rows.values()))]
    titles = ["method", *(title for _, title in measured), "floor", "later / floor", "library / later", "yaml / later"]
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "--:|" * (len(titles) - 1)]
    for name, row in rows.items():
        later = row["weights"][key]
        peers = [f"{row[peer][key] / later:.0f}" if peer in row else "" for peer in PEERS]
        cells = [*(f"{row[figure][key]:.3g}" for figure, _ in measured), f"{row['floor_s']:.3g}"]
        lines.append("| " + " | ".join([name, *cells, f"{later / row['floor_s']:.2f}", *peers]) + " |")
    return "\n".join(lines)


def memory_table(rows: dict[str, dict[str, Any]]) -> str:
    """Peaks of the executor's process beside what it cannot do without: itself, the donors, one model."""
    titles = ("method", "process itself", "peak", "donors", "one model", "more than these", "GPU")
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "--:|" * (len(titles) - 1)]
    for name, row in rows.items():
        needed = row["donor_bytes"] + row["model_bytes"]
        peak = row["peak_bytes"]
        sizes = (row["idle_bytes"], peak, row["donor_bytes"], row["model_bytes"])
        more = f"{100 * (peak - row['idle_bytes'] - needed) / needed:.1f} %"
        gpu = "" if row["gpu_peak_bytes"] is None else f"{row['gpu_peak_bytes'] / 2**20:.0f}"
        lines.append("| " + " | ".join([name, *(f"{size / 2**20:.0f}" for size in sizes), more, gpu]) + " |")
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="125m")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda, where mergekit is left out")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--rounds", type=int, default=3, help="repetitions of everything, interleaved; medians are shown"
    )
    parser.add_argument("--candidates", type=int, default=5, help="later candidates of the executor in one round")
    parser.add_argument(
        "--scratch", type=Path, default=cache_folder() / "benchmarks", help="where checkpoints are kept"
    )
    parser.add_argument("--mergekit-python", help=f"a Python that has {MERGEKIT}; by default one is installed")
    parser.add_argument("--no-mergekit", action="store_true")
    parser.add_argument("--json", type=Path, help="also write all figures there")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    options.scratch = options.scratch.absolute()
    folder = checkpoints(options.scratch, options.size, options.device)
    skipped = options.no_mergekit or options.device != "cpu"
    python = None if skipped else mergekit_python(options.mergekit_python)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in options.methods}
    in_page_cache(folder)
    for number in range(options.rounds):
        for name in options.methods:
            say(f"round {number + 1} of {options.rounds}: {name}")
            rounds[name].append(measure(METHODS[name], folder, options, python))
    rows = {name: medians(found) for name, found in rounds.items()}
    first = next(iter(rows.values()))
    # The fastest copy of the whole run: what others do on the machine makes copies slower, never faster.
    bandwidth = max(row["bytes_per_s"] for row in rows.values())
    for row in rows.values():
        row["floor_s"] = (row["read_bytes"] + row["model_bytes"]) / bandwidth
    machine = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "date": time.strftime("%Y-%m-%d"),
        "size": options.size,
        "device": options.device,
        "parameters": first["parameters"],
        "copy_bytes_per_s": bandwidth,
    }
    print(
        f"{machine['machine']}, {options.device}, {machine['date']}: {options.size}, {first['parameters']:,} parameters"
    )
    print(f"in bfloat16, {BASE} and {len(DONORS) - 1} experts; one thread; rounds: {options.rounds}; ", end="")
    print(f"copy {bandwidth / 1e9:.1f} GB/s\n")
    print(f"CPU-seconds (user and system; the floor is wall time)\n\n{seconds_table(rows, 'cpu_s')}\n")
    print(f"Wall seconds\n\n{seconds_table(rows, 'wall_s')}\n")
    print(f"Memory of the executor's process, MiB\n\n{memory_table(rows)}")
    if options.json:
        options.json.write_text(json.dumps({**machine, "methods": rows, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
