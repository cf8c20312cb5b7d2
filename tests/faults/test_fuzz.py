"""Foreign text of all kinds: what fuzzing has found, and what a seed makes of good inputs. Longer: fuzz/run.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).parent / "fuzz"


def load(name):
    """A module of the folder fuzz, which is no package."""
    spec = importlib.util.spec_from_file_location(f"evolve_fuzz_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


targets, mutations = load("targets"), load("mutations")
EXAMPLES = targets.examples()
CASES = sorted(path for path in (FOLDER / "cases").glob("*/*") if path.is_file())
BOUNDED = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", autouse=True)
def _scratch():
    yield
    targets.remove_folder()


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_fixed(path):
    targets.timed(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", targets.TARGETS)
def test_good_inputs_are_good(name):
    for data in EXAMPLES[name]:
        targets.timed(name, data)


@pytest.mark.parametrize("name", targets.TARGETS)
def test_changed_inputs_are_read_or_refused(name):
    @BOUNDED
    @given(st.sampled_from(EXAMPLES[name]), st.integers(0, 2**32))
    def check(data, seed):
        targets.timed(name, mutations.mutated(name, data, seed))

    check()


@pytest.mark.parametrize("name", targets.TARGETS)
def test_any_bytes_are_read_or_refused(name):
    @BOUNDED
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
    def check(data):
        targets.timed(name, data)

    check()


@pytest.mark.parametrize("name", ["reply", "patch"])
def test_replies_made_of_their_own_marks_are_read_or_refused(name):
    @BOUNDED
    @given(st.lists(st.sampled_from(mutations.PARTS), max_size=25), st.integers(0, 14))
    def check(parts, first):
        data = "\n".join(parts).encode("utf-8", "surrogatepass")
        targets.timed(name, bytes([first]) + data if name == "patch" else data)

    check()
