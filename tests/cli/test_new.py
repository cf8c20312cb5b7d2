from __future__ import annotations

import pytest
from click.testing import CliRunner

from evolve.cli.main import cli
from evolve.errors import UsageError
from evolve.problem import load


@pytest.mark.parametrize("kind", ["merge", "program"])
def test_new_writes_a_problem_that_loads(tmp_path, kind):
    result = CliRunner().invoke(cli, ["new", str(tmp_path / "mine"), "--kind", kind])
    assert result.exit_code == 0
    assert f"evolve run {tmp_path / 'mine'}" in result.output
    assert load(str(tmp_path / "mine")).kind == kind


def test_new_leaves_existing_files_alone(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    result = CliRunner().invoke(cli, ["new", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
