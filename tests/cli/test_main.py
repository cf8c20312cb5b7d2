from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from evolve.cli.main import COMMANDS, cli
from evolve.cli.run import duration, pairs
from evolve.errors import UsageError

HEAVY = {"torch", "transformers", "numpy", "litellm", "openai", "sqlite_utils", "libcst", "jinja2", "rich", "asyncio"}


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "evolve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def loaded_by(arguments):
    """Names of top-level modules after a command, in a fresh interpreter."""
    code = (
        "import sys, json\nfrom evolve.cli import main\nsys.argv = ['evolve', *json.loads(sys.argv[1])]\n"
        "try:\n    main.main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_help_lists_every_command_and_loads_nothing_heavy():
    assert not loaded_by(["--help"]) & HEAVY
    text = CliRunner().invoke(cli, ["--help"]).output
    assert all(f"  {name} " in text for name in COMMANDS)


def test_listing_runs_stays_light(tmp_path):
    assert not loaded_by(["ls", "--runs", str(tmp_path)]) & HEAVY


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "no command 'rnu'; did you mean 'run'"),
        (["run", "jp_maths"], "no problem 'jp_maths'; did you mean 'jp_math'"),
        (["run", "jp_math", "--profile", "tinny"], "no profile 'tinny'; did you mean 'tiny'"),
        (["run", "jp_math", "--set", "search.island=2"], "did you mean 'islands'"),
        (["run", "jp_math", "--set", "islands"], "SECTION.KEY=VALUE"),
        (["run", "jp_math", "--time", "soon"], "--time takes a duration"),
        (["run", "jp_math", "--donor", "jaa=x"], "no donor 'jaa'; did you mean 'ja'"),
        (["run", "jp_math", "--evaluations", "-3"], "must not be negative"),
        (["run", "jp_math", "--models", "none.toml"], "none.toml cannot be read"),
        (["show", "1", "nothing"], "no run 'nothing'"),
        (["resume"], "no run in"),
        (["best", "--runs", "nowhere"], "no run in nowhere"),
    ],
)
def test_wrong_input_is_one_clear_line(arguments, said, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(tmp_path):
    assert "Traceback" in run("--debug", "run", "jp_maths", cwd=tmp_path).stderr


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1d", 86400)])
def test_durations(text, seconds):
    assert duration(text) == seconds


def test_pairs_need_both_sides():
    assert pairs(("ja=a=b",), "--donor") == {"ja": "a=b"}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        pairs(("ja=",), "--donor")
