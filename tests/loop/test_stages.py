"""Stages that need no worker, and what problem.toml may say of stages."""

from __future__ import annotations

import shutil

import pytest

from evolve import problem as problems
from evolve.cli.new import SCAFFOLDS
from evolve.errors import ProblemError, ProposalError, StageRejected
from evolve.loop.stages import pass_plan, pass_text, plan_values
from evolve.plan.plan import Node, Plan, SitePlan, Template
from evolve.stages import MEASURES, Stage

COPY = Template((Node("donor", (), (("name", "a"),)),), 0)
SUM = Template(
    (Node("donor", (), (("name", "a"),)), Node("donor", (), (("name", "b"),)), Node("add", (0, 1), ()),
     Node("add", (2, 1), ())), 3,
)  # fmt: skip
PLAN = Plan(("a", "b"), (COPY, SUM), tuple(SitePlan(f"s{i}", (2,), int(i % 4 == 3), ()) for i in range(8)))
SOURCE = "# a comment\n\ndef merge(site, a):\n    return a\n"


def test_the_measures_of_a_plan():
    assert plan_values(PLAN) == {
        "donors": 2, "operations_per_site": 2, "operations": 4, "copied": 0.75, "templates": 2,
    }  # fmt: skip
    assert set(plan_values(PLAN)) | {"characters", "lines"} == {name for kind in MEASURES.values() for name in kind}


def test_a_text_over_a_limit_is_rejected_with_value_and_threshold():
    stages = [Stage("short", "static", "lines", max=2), Stage("tiny", "static", "characters", max=10)]
    pass_text(stages[:1], SOURCE)
    with pytest.raises(StageRejected, match="^stage tiny: characters 46 is over the maximum 10$") as caught:
        pass_text(stages, SOURCE)
    assert (caught.value.reason, isinstance(caught.value, ProposalError)) == ("stage", True)


def test_a_plan_outside_a_limit_is_rejected():
    plan = PLAN.to_dict()
    pass_plan([Stage("few", "static", "donors", max=2), Stage("text", "static", "lines", max=0)], plan)
    with pytest.raises(StageRejected, match=r"^stage change: copied 0.75 is over the maximum 0.5$"):
        pass_plan([Stage("change", "plan", "copied", max=0.5)], plan)
    with pytest.raises(StageRejected, match=r"^stage mix: donors 2 is under the minimum 3$"):
        pass_plan([Stage("mix", "static", "donors", min=3)], plan)


@pytest.fixture
def loaded(tmp_path):
    """``loaded(kind, tables)`` is the scaffold with these stages."""

    def load(kind, tables):
        folder = tmp_path / kind
        shutil.copytree(SCAFFOLDS / kind, folder, dirs_exist_ok=True)
        text = (SCAFFOLDS / kind / "problem.toml").read_text()
        (folder / "problem.toml").write_text(text + "".join(f"\n[[stages]]\n{table}\n" for table in tables))
        return problems.load(str(folder))

    return load


def test_stages_are_read_in_order(loaded):
    tables = ['name = "few"\nkind = "static"\nmeasure = "donors"\nmax = 2',
              'name = "surprise"\nkind = "metric"\nitems = 8\nmax = 50.5']  # fmt: skip
    assert loaded("merge", tables).stages == (
        Stage("few", "static", "donors", max=2.0),
        Stage("surprise", "metric", items=8, max=50.5),
    )
    assert loaded("merge", []).stages == ()


@pytest.mark.parametrize(
    ("kind", "table", "said"),
    [
        ("merge", 'name = "a"\nkind = "static"\nmeasure = "donor"\nmax = 2', "measure must be one of .*donors"),
        ("merge", 'name = "a"\nkind = "stat"\nmax = 2', "kind must be 'static', 'plan' or 'metric', not 'stat'"),
        ("merge", 'name = "a"\nkind = "metric"', "give it a min or a max"),
        ("merge", 'name = "a b"\nkind = "metric"\nmax = 1', "name must be a Python name"),
        ("merge", 'name = "a"\nkind = "metric"\nmeasure = "lines"\nmax = 1', "remove the key measure"),
        ("merge", 'name = "a"\nkind = "plan"\nmeasure = "copied"\nitems = 3\nmax = 1', "items = 3 is impossible"),
        ("merge", 'name = "a"\nkind = "metric"\nmaxx = 1', "did you mean 'max'"),
        ("program", 'name = "a"\nkind = "plan"\nmeasure = "copied"\nmax = 1', "a program has no plan"),
    ],
)
def test_wrong_stages_are_explained(loaded, kind, table, said):
    with pytest.raises(ProblemError, match=said):
        loaded(kind, [table])


def test_names_of_stages_differ(loaded):
    with pytest.raises(ProblemError, match="two stages have the same name"):
        loaded("merge", ['name = "a"\nkind = "metric"\nmax = 1'] * 2)
