"""``evolve archive``, ``lineage``, ``db`` and ``merge-runs`` on a run that its writer holds open."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from click.testing import CliRunner

from evolve.cli.main import cli
from evolve.cli.new import SCAFFOLDS
from evolve.evaluation import Evaluation
from evolve.features import FeatureAxis, cell_key
from evolve.problem import load
from evolve.search.digest import source_digest
from evolve.store import migrations
from evolve.store.connection import FILE_NAME
from evolve.store.database import Database
from evolve.store.records import Cell, ProposalRequest, RunRecord


@pytest.fixture
def database(tmp_path):
    """A run of the example problem, whose score is minimised here, with three programs; nobody has closed it."""
    problem = tmp_path / "runs" / "r" / "problem" / "program"
    shutil.copytree(SCAFFOLDS / "program", problem)
    axes = [
        FeatureAxis(name, one.low, one.high, one.bins) for name, one in load(str(problem)).manifest.features.items()
    ]
    settings = {"kind": "program", "config": {}, "donors": {}, "prepared": None}
    record = RunRecord("r", "program", "default", {}, settings, 0, "0.1", direction="minimize")
    with Database.create(tmp_path / "runs" / "r", record) as made:
        for number, (parent, score, share) in enumerate([(None, -3.0, 0.1), (1, -2.0, 0.9), (2, -2.5, 0.1)], start=1):
            request = ProposalRequest(0, number - 1, "diff", "offline", parent, description=f"edit {number}")
            made.begin_proposal(request)
            made.set_source(number, f"x = {number}\n", source_digest(f"x = {number}\n"))
            made.set_state(number, "evaluating")
            cell = cell_key(tuple(axis.bin_of(axis.low + share * (axis.high - axis.low)) for axis in axes))
            features = {axis.name: axis.low + share * (axis.high - axis.low) for axis in axes}
            made.add_evaluation(number, Evaluation(score, {}, features), cells=[Cell(0, cell, number, score)])
        yield made


@pytest.fixture
def evolve(tmp_path):
    def run(*arguments, status=0):
        done = CliRunner().invoke(cli, [*map(str, arguments), "--runs", str(tmp_path / "runs")])
        assert done.exit_code == status, done.output
        return done.output + str(done.exception or "")

    return run


def test_the_grid_is_printed_for_people_and_for_programs(database, evolve):
    text = evolve("archive")
    for word in ("island 0\n", "coverage", "best 2, program 2", "name the worst possible score with --worst", "2.000"):
        assert word in text
    assert "\x1b" not in text
    assert "QD score 15.5 (sum over the worst possible score 10)" in evolve("archive", "r", "--worst", "10")
    found = json.loads(evolve("archive", "-f", "json", "--worst", "10"))
    assert (found["run"], found["filled"], found["best_program"], found["qd_score"]) == ("r", 2, 2, 15.5)
    rows = list(csv.DictReader(evolve("archive", "-f", "csv").splitlines()))
    assert {row["program"]: float(row["score"]) for row in rows} == {"3": 2.5, "2": 2.0}
    assert "island 1 holds no cell" in evolve("archive", "--island", "1", status=1)


def test_a_terminal_gets_colours(database, tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "evolve", "archive", "--runs", str(tmp_path / "runs")]
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    subprocess.run(command, stdout=theirs, check=True, env=environment)
    os.close(theirs)
    with os.fdopen(ours, "rb") as terminal:
        text = terminal.read1(65536).decode()
    best, worst = (re.search(rf"\x1b\[([0-9;]+)m *{score}", text) for score in ("2.000", "2.500"))
    assert best[1] != worst[1]


def test_a_lost_copy_of_the_problem_is_one_line(database, evolve, tmp_path):
    shutil.rmtree(tmp_path / "runs" / "r" / "problem")
    assert "has lost its copy of the problem" in evolve("archive", status=1)
    assert evolve("db", "check", "r", status=1).startswith("problem: ")


def test_lineage_is_printed_as_text_graph_and_json(database, evolve):
    lines = evolve("lineage", "2").splitlines()
    assert lines[:2] == [" #1  3  diff by offline: edit 1", "*#2  2 (-1)  diff by offline: edit 2"]
    assert lines[-1] == "  └─*#3  2.5 (+0.5)  diff by offline: edit 3"
    assert evolve("lineage", "best", "r", "--dot").startswith("digraph lineage {")
    found = json.loads(evolve("lineage", "--json", "--best", "0"))
    assert (found["run"], found["program"], [one["id"] for one in found["ancestors"]], found["tree"]) == (
        "r",
        2,
        [1, 2],
        [],
    )
    assert "exclude each other" in evolve("lineage", "--json", "--dot", status=1)
    assert "no program '9'" in evolve("lineage", "9", status=1)


def test_a_check_prints_a_line_for_each_violation(database, evolve, tmp_path):
    assert evolve("db", "check") == "run r: nothing is wrong\n"
    assert "without digests" in evolve("db", "check", "r", "--quick")
    with closing(sqlite3.connect(tmp_path / "runs" / "r" / FILE_NAME)) as other:
        other.execute("UPDATE cells SET score = -9 WHERE program_id = 2")
        other.execute("UPDATE proposals SET generation = 7 WHERE id = 3")
        other.commit()
    lines = evolve("db", "check", "r", status=1).splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["origins", "cells", "run r"]
    assert "2 violations" in lines[2]


def test_many_violations_of_one_rule_are_counted(database, evolve):
    for _ in range(26):
        database.begin_proposal(ProposalRequest(0, 5, "diff", "offline"))
    assert "origins: 6 more\nrun r: 26 violations" in evolve("db", "check", status=1)


def test_a_copy_gets_a_name_of_its_own(database, evolve, tmp_path):
    assert "wrote " in evolve("db", "backup", "r")
    assert len(list((tmp_path / "runs" / "r").glob("evolve.db.*.backup"))) == 1
    evolve("db", "backup", "r", tmp_path)
    [copy] = tmp_path.glob("r-*.db")
    assert "exists already" in evolve("db", "backup", "r", copy, status=1)


def test_an_older_run_is_read_after_an_upgrade(evolve, tmp_path):
    folder = tmp_path / "runs" / "old"
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        migrations.migrate(connection, migrations.shipped()[:4])
        connection.execute(
            "INSERT INTO run VALUES (1, 'old', 'p', 'tiny', 'maximize', '{}', '{}', 7, '0', '2026', 'stopped', NULL)"
        )
        connection.commit()
    assert "`evolve db upgrade` brings it up to date" in evolve("stats", "old", status=1)
    assert evolve("db", "upgrade", "old") == "the database of run old is up to date\n"
    assert "nothing but seeds" in evolve("stats", "old")
    assert (folder / f"{FILE_NAME}.v4.backup").is_file()


def test_a_run_in_use_takes_no_imports(database, evolve, tmp_path):
    shutil.copytree(tmp_path / "runs" / "r", tmp_path / "runs" / "s")
    assert "in use by process" in evolve("merge-runs", "r", "s", status=1)
