from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from evolve.donors.prepared import prepared_folder
from evolve.errors import DonorError


def _fill(folder):
    (folder / "text").write_text("done")


def test_a_folder_is_made_once_for_a_key():
    first = prepared_folder("things", [1, "a"], _fill)
    assert (first / "text").read_text() == "done"
    assert first.parent == Path(os.environ["EVOLVE_CACHE"]) / "things"
    assert prepared_folder("things", [1, "a"], lambda folder: pytest.fail("made again")) == first
    assert prepared_folder("things", [2, "a"], _fill) != first


def test_who_asks_at_once_waits_for_the_first():
    entered, asked, made = threading.Event(), threading.Event(), []

    def slowly(folder):
        made.append(folder)
        entered.set()
        assert asked.wait(60)
        time.sleep(0.2)  # for the other to come to the lock
        _fill(folder)

    def ask_later():
        assert entered.wait(60)
        asked.set()
        prepared_folder("things", [1], slowly)

    threads = [
        threading.Thread(target=prepared_folder, args=("things", [1], slowly)),
        threading.Thread(target=ask_later),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


def test_an_interrupted_folder_is_made_again_and_its_rest_removed():
    def interrupted(folder):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared_folder("things", [1], interrupted)
    root = Path(os.environ["EVOLVE_CACHE"]) / "things"
    assert [path for path in root.iterdir() if path.is_dir()] == []
    folder = prepared_folder("things", [1], _fill)
    killed = root / f".{folder.name}-left"
    folder.rename(killed)
    prepared_folder("things", [1], _fill)
    assert not killed.exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVOLVE_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        DonorError, match=r"file/things/.* cannot be made \(.*\); make room there or .* EVOLVE_CACHE"
    ) as caught:
        prepared_folder("things", [1], _fill)
    assert "\n" not in str(caught.value)
