"""evolve merge as real processes: its memory, its death, a full disk."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from evolve.cli.merge import size_bytes
from evolve.donors.device import compute_device
from evolve.errors import UsageError
from evolve.recipe.eager import eager
from evolve.site import Site

MEGABYTE = 2**20


def test_a_recipe_file_becomes_a_model(evolve, small, tmp_path):
    done = evolve("merge", small, "--out", "model", "--dtype", "float32")
    assert "verified bit for bit" in done.stdout
    merged = load_file(tmp_path / "model" / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    donors = {donor: load_file(small.parent / donor / "model.safetensors")[name] for donor in ("base", "a", "b")}
    site = Site(name, 1, 1.0, "up_proj", "mlp", tuple(merged[name].shape))
    assert (merged[name] == eager(small.read_text(), site, donors)).all()
    card = (tmp_path / "model" / "README.md").read_text()
    assert re.search(r"\| base \| base \| `[0-9a-f]{64}` \|", card)
    assert str(small.parent) not in card.split("## Recipe")[0]


def test_a_donor_that_is_not_there_is_one_line(evolve, tmp_path):
    (tmp_path / "recipe.py").write_text("DONORS = {'a': 'no/such/folder'}\n")
    done = evolve("merge", "recipe.py", "--out", "model", status=1)
    assert "donor 'a': no/such/folder is no folder" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_an_error_in_a_recipe_names_its_line_and_the_program_is_not_run_here(evolve, small, tmp_path):
    source = small.read_text() + f"\nopen({str(tmp_path / 'was here')!r}, 'w')\n"
    (tmp_path / "recipe.py").write_text(source)
    done = evolve("merge", "recipe.py", "--out", "model", status=1)
    assert f"recipe.py line {source.count(chr(10))}: " in done.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "recipe.py"]


def test_memory_stays_below_the_limit_and_a_layer(large, tmp_path, environment):
    code = (
        "import sys, json\nfrom evolve.cli.main import cli\n"
        "def merge(recipe, out):\n"
        "    cli.main(['merge', recipe, '--out', out, '--memory-limit', '16MB'], standalone_mode=False)\n"
        "def kilobytes(key):\n"
        "    text = open('/proc/self/status').read()\n"
        "    return int(text.split(key + ':')[1].split()[0])\n"
        "merge(sys.argv[1], 'warm')\n"
        "before = kilobytes('VmRSS')\nopen('/proc/self/clear_refs', 'w').write('5')\n"
        "merge(sys.argv[1], 'again')\n"
        "print(json.dumps(kilobytes('VmHWM') - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, large],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    grown_bytes = 1024 * json.loads(done.stdout.splitlines()[-1])
    donors_bytes = sum(path.stat().st_size for path in large.parent.glob("*/model.safetensors"))
    assert donors_bytes > 250 * MEGABYTE
    # Mapping a file faults in some pages at the head of each tensor: most of the growth, and given back when needed.
    assert grown_bytes < 50 * MEGABYTE


def merging(large, tmp_path, environment):
    """A merge that has begun to write."""
    command = [sys.executable, "-m", "evolve", "merge", large, "--out", tmp_path / "model", "--threads", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    )
    while not any(path.stat().st_blocks > 8 for path in tmp_path.glob(".model-merging-*/model.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    return process


def test_a_killed_merge_leaves_nothing_that_looks_complete(evolve, small, large, tmp_path, environment):
    process = merging(large, tmp_path, environment)
    process.kill()
    process.communicate()
    assert not (tmp_path / "model").exists()
    (left,) = tmp_path.glob(".model-merging-*")
    assert not (left / "config.json").exists()
    evolve("merge", small, "--out", "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_an_interrupted_merge_cleans_up(large, tmp_path, environment, number, status):
    process = merging(large, tmp_path, environment)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == status
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * 10**9), ("1.5GiB", 3 * 2**29), ("60kB", 60_000), ("7", 7), ("2m", 2 * 10**6)]
)
def test_sizes(text, size):
    assert size_bytes(text, "--shard-size") == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "4 G B"])
def test_sizes_that_are_none(text):
    with pytest.raises(UsageError, match="--shard-size takes a size such as"):
        size_bytes(text, "--shard-size")


@pytest.mark.parametrize(
    ("name", "said"), [("tpu", "is unknown; use --device cpu"), ("cuda:99", "asked for|not there")]
)
def test_devices_that_are_none(name, said):
    with pytest.raises(UsageError, match=f"device '{name}' .*({said})"):
        compute_device(name)
