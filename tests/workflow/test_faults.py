"""A short campaign of faults; `make soak` has all of them, many times."""

import pytest
from soak.campaign import Campaign


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return Campaign(tmp_path_factory.mktemp("campaign"), seed=1)


@pytest.mark.parametrize(
    "fault",
    [
        "kill -9 of both",
        "bit flipped in a pack file",
    ],
)
def test_after_a_fault_the_dataset_is_the_same(campaign, fault):
    trial = campaign.trial(fault)
    assert trial.process.returncode == 0
