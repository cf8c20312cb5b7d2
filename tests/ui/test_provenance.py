from __future__ import annotations

import csv
import io
import json

from evolve.ui.provenance import provenance_text


def _measures(share, cosine, coefficient):
    return {"share": share, "cosine": cosine, "coefficient": coefficient}


def _found(**whole):
    donors = {"ja": _measures(0.4, -0.31, -0.5), "math_1": _measures(0.6, 0.9, 0.75)}
    numbers = {"norm": 2.5, "residual": 0.125, "donors": donors}
    nothing = {"norm": 0.0, "residual": None, "donors": dict.fromkeys(("ja", "math_1"), _measures(None, None, None))}
    places = [{"layer": None, "role": "embed", **numbers}, {"layer": 0, "role": "q_proj", **nothing}]
    return {"program": 7, "base": "base", "model": {**numbers, **whole}, "places": places}


def test_the_table_has_a_line_for_the_model_and_a_row_for_each_layer_and_role():
    lines = provenance_text(_found()).splitlines()
    assert lines[0] == "whole model, difference from base: ja 40 %, math_1 60 %, rest 12 %"
    assert " ".join(lines[2].split()) == "layer role ja % math 1 % rest % cos ja cos math 1"
    assert lines[3].split() == ["embed", "40", "60", "12", "-0.31", "0.90"]
    assert lines[4].split() == ["0", "q_proj"]
    assert "blank where there is no difference" in lines[-1]


def test_a_model_that_is_its_base_says_so():
    assert provenance_text(_found(residual=None)).startswith("whole model: no difference from base\n")


def test_json_and_csv_hold_every_number():
    found = _found()
    assert json.loads(provenance_text(found, "json")) == found
    first, second = csv.DictReader(io.StringIO(provenance_text(found, "csv")))
    assert (first["layer"], first["role"], first["norm"], first["residual"]) == ("", "embed", "2.5", "0.125")
    assert (first["share_math_1"], first["cosine_ja"], first["coefficient_ja"]) == ("0.6", "-0.31", "-0.5")
    assert (second["layer"], second["share_ja"]) == ("0", "")
