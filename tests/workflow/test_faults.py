"""One fault in an ordinary test; `make soak` has all of them, many times."""

from soak.campaign import Campaign


def test_after_a_kill_of_snakemake_and_its_jobs_and_a_move_the_dataset_is_the_same(tmp_path):
    trial = Campaign(tmp_path, seed=1, keep="all", small=()).trial("project moved in mid-run")
    assert trial.process.returncode == 0
    assert trial.outcome == "killed, moved, rerun"
