from __future__ import annotations


def test_of_two_runs_that_start_in_one_folder_one_is_told_so(terminal):
    told = ("run", "program", "--name", "p", "--evaluations", 4, "--workers", 1)
    both = [terminal.start(*told) for _ in range(2)]
    texts = [process.communicate(timeout=180) for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], texts
    error = next(errors for process, (_, errors) in zip(both, texts, strict=True) if process.returncode)
    assert len(error.strip().splitlines()) == 1
    assert "exists" in error
    assert terminal.summary("p")["evaluations"] == 4


def test_a_folder_left_by_a_start_that_was_cut_off_is_named(terminal):
    (terminal.runs / "p" / "problem").mkdir(parents=True)
    error = terminal.run("run", "program", "--name", "p", status=1).stderr
    assert "runs/p exists and holds no run" in error
    assert "remove it or choose another --name" in error
