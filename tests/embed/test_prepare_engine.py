"""The engine of a job, and the kernels that it runs."""

import pytest
from evo2_embed.embed.run_packs import prepare_engine
from evo2_embed.engine import packed
from evo2_embed.engine.kernels import norm
from evo2_embed.model import registry
from evo2_embed.settings.extraction import Extraction
from evo2_embed.settings.jobs import Runtime

EXTRACTION = Extraction.from_dict({"layers": ["norm"], "model": {"name": registry.TINY}})


FAULT = "the provided PTX was compiled with an unsupported toolchain"


@pytest.fixture
def broken_triton(monkeypatch):
    """Triton is chosen where the setting allows it, and its kernels fail."""

    def fail(*_):
        raise RuntimeError(FAULT)

    monkeypatch.setattr(
        packed, "choose_kernels", lambda setting, _: setting.replace("auto", "triton")
    )
    monkeypatch.setattr(norm, "add_norm", fail)


def prepare(kernels):
    """`prepare_engine` with the bundled model."""
    return prepare_engine(EXTRACTION, registry.bundled_checkpoint(), Runtime(kernels=kernels))


def test_pytorchs_kernels_run_where_tritons_do_not_work(broken_triton, caplog):
    engine, found = prepare("auto")
    assert engine.kernels == found["kernels"] == "torch"
    assert "Triton's kernels do not work here, PyTorch's are used: " in caplog.text
    assert FAULT in caplog.text


def test_kernels_that_were_asked_for_are_not_replaced(broken_triton):
    with pytest.raises(RuntimeError, match=FAULT):
        prepare("triton")
