"""The measurements for a GPU run on a CPU, with the bundled model's shapes."""

import json

from gpu.measure import SECTIONS, Measurement, measure


def test_the_sections_give_records_within_their_limits(tmp_path, monkeypatch):
    # A job sets these for its process; afterwards they are as before.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    sections = ["machine", "products", "equal", "contexts", "run"]
    assert measure(True, tmp_path, sections)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found) == sections
    assert all(found.values())
    assert max(record["difference"] for record in found["contexts"]) < 1e-3
    assert found["run"][0]["rows"] == 49


def test_a_section_that_fails_is_said_and_the_others_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Measurement, "products", lambda self: iter([{"failed": True}]))
    monkeypatch.setattr(Measurement, "equal", lambda self: 1 / 0)
    assert not measure(True, tmp_path, ["equal", "products", "machine"])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["equal"] == [{"error": "ZeroDivisionError: division by zero", "failed": True}]
    assert found["machine"]
    assert all(hasattr(Measurement, section) for section in SECTIONS)
