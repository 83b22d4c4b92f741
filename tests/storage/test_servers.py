"""Files at addresses: a run with an S3 server and a web server on this machine."""

import functools
import gzip
import hashlib
import http.server
import json
import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest
import yaml
from evo2_embed.genomes.skipped import Skipped, input_digests, read_digest, write_skipped
from evo2_embed.io.errors import InputError
from evo2_embed.io.remote import copy_path, look_up
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata
from evo2_embed.model.registry import bundled_checkpoint
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.jobs import count_jobs
from evo2_embed.plan.temporary import temporary_bytes
from evo2_embed.run.frozen import INDEXES, plan_run
from evo2_embed.run.params import rule_params
from evo2_embed.run.repaired import repaired_bundles
from moto.server import ThreadedMotoServer
from runs import Workflow, random_bases, write_fasta

RECORDS = [("a1", random_bases(650, 1)), ("a2", random_bases(420, 2))]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, without a line on stderr per request."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A folder, and the address at which a web server has its files."""
    folder = tmp_path_factory.mktemp("web")
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A bucket of an S3 server, and the environment of a run that uses this server."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    s3 = boto3.resource(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    yield s3.create_bucket(Bucket="genomes"), environment
    server.stop()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A function that plans a run of a sheet in an empty folder; answers of servers are new."""
    monkeypatch.chdir(tmp_path)
    look_up.cache_clear()
    flow = Workflow(tmp_path / "flow")
    monkeypatch.chdir(flow.folder)

    def plan(genomes, **changes):
        flow.sheet(genomes)
        flow.configure(**changes)
        return plan_run(yaml.safe_load(Path("config/config.yaml").read_text()))

    return plan


def test_bundles_and_shards_follow_from_what_the_server_says_of_a_file(web, planned):
    folder, address = web
    path = write_fasta(folder / "large.fa", [("large", random_bases(5000, 4))])
    sharding = {"shard_tokens": 1000}
    (local,) = planned({"large": path}, sharding=sharding).bundles.values()
    run = planned({"large": f"{address}/large.fa"}, sharding=sharding)
    assert [bundle.n_shards for bundle in run.bundles.values()] == [local.n_shards] == [6]
    assert count_jobs(run.settings, run.bundles)["fetch_file"] == 1
    # Nothing of the file is here: its bases are a guess.
    assert not Path("results").exists()
    (genome,) = estimate_run(run.settings, run.bundles, INDEXES).genomes
    assert (genome.bases, genome.exact) == (Path(path).stat().st_size, False)
    (folder / "large.fa.gz").write_bytes(gzip.compress(Path(path).read_bytes()))
    packed = planned({"large": f"{address}/large.fa.gz"})
    assert temporary_bytes(packed.bundles) > (folder / "large.fa.gz").stat().st_size
    assert temporary_bytes(run.bundles) == 0


def test_regions_are_fetched_when_they_are_new_and_checked_when_the_run_starts(web, planned):
    folder, address = web
    sheet = {"a": (f"{address}/a.fa", f"{address}/genes.bed")}
    write_fasta(folder / "a.fa", RECORDS)
    bed = folder / "genes.bed"
    copy = Path(copy_path(f"{address}/genes.bed", early=True))
    for text, age, kept in (("a1\t0\t9\n", -60, True), ("a1\t0\t8\n", -90, False)):
        bed.write_text(text)
        os.utime(bed, (time.time() + age,) * 2)
        look_up.cache_clear()
        planned(sheet)
        assert (copy.read_text() == text) == kept
    bed.write_text("a1\t9\t0\n")
    os.utime(copy, (0, 0))
    look_up.cache_clear()
    with pytest.raises(InputError, match=r"early/http/.*genes.bed: line 1: "):
        planned(sheet)


def test_a_genome_without_a_file_is_left_out_but_not_one_of_a_silent_server(web, planned):
    folder, address = web
    write_fasta(folder / "b.fa", [("b", random_bases(600, 3))])
    (folder / "empty.fa").write_text("")
    sheet = {name: f"{address}/{name}.fa" for name in ("b", "none", "empty")}
    run = planned(sheet, on_bad_genome="skip")
    assert [genome.fault.split(": ")[-1] for genome in run.left_out] == [
        "no such file on the server, or it may not be read",
        "the file is empty, or the server does not say how large it is",
    ]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        silent = f"http://127.0.0.1:{closed.getsockname()[1]}/c.fa"
    with pytest.raises(InputError) as caught:
        planned({**sheet, "c": silent}, on_bad_genome="skip")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{silent}: the server cannot be asked (")


def test_a_genome_that_was_left_out_is_read_again_if_its_file_is_newer_on_the_server(web, planned):
    folder, address = web
    content = Path(write_fasta(folder / "c.fa", [("c", random_bases(600, 5))])).read_bytes()
    run = planned({"c": f"{address}/c.fa"})
    (genome,) = run.bundles["c"].genomes
    copy = Path(genome.fasta)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(content)
    settings = rule_params(run, "chunk_fasta", bundle="c")["settings"]
    left_out = Skipped("c", genome.fasta, "bad", read_digest(settings, input_digests(genome)))
    write_skipped("results/skipped.tsv", [left_out])
    with pytest.raises(InputError, match="left out by the last run"):
        repaired_bundles(run, Path("results"))
    os.utime(copy, (0, 0))
    assert repaired_bundles(run, Path("results")) == {"c"}
    copy.unlink()
    assert repaired_bundles(run, Path("results")) == {"c"}


def test_a_run_takes_files_from_servers(tmp_path, web, bucket):
    folder, address = web
    bucket, environment = bucket
    flow = Workflow(tmp_path / "flow")
    flow.environment = environment
    fasta = Path(write_fasta(tmp_path / "a.fa", RECORDS)).read_bytes()
    packed, bed = gzip.compress(fasta), b"a1\t100\t500\na2\t0\t400\n"
    other = Path(write_fasta(folder / "b.fa", [("b", random_bases(600, 3))])).read_bytes()
    weights = bundled_checkpoint().read_bytes()
    (folder / "a.bed").write_bytes(bed)
    bucket.put_object(Key="deep/a.fa.gz", Body=packed)
    bucket.put_object(Key="tiny.pt", Body=weights)
    flow.sheet({"a": ("s3://genomes/deep/a.fa.gz", f"{address}/a.bed"), "b": f"{address}/b.fa"})
    flow.configure(model={"checkpoint": "s3://genomes/tiny.pt"})
    targets = ("results/embeddings/default/norm.json", "results/genomes.parquet")
    flow.run(*targets)

    results = flow.folder / "results"
    chunks = open_table(str(results / "chunks" / "a.parquet"), CHUNKS)
    inputs = {each["genome"]: each for each in table_metadata(chunks)["inputs"]}
    assert inputs["a"]["fasta_sha256"] == sha256(packed)
    assert inputs["a"]["regions_sha256"] == sha256(bed)
    assert inputs["b"]["fasta_sha256"] == sha256(other)
    (record,) = (results / "models").glob("*.json")
    assert json.loads(record.read_text())["sha256"] == sha256(weights)
    # One row per region, and windows of 200 bases.
    rows = chunks.read(["genome", "contig", "start"]).to_pylist()
    assert Counter((row["genome"], row["contig"]) for row in rows) == {
        ("a", "a1"): 1,
        ("a", "a2"): 1,
        ("b", "b"): 3,
    }
    genomes = pq.read_table(results / "genomes.parquet").to_pylist()
    assert [genome["fasta"] for genome in genomes] == [
        "s3://genomes/deep/a.fa.gz",
        f"{address}/b.fa",
    ]

    # Nothing changed, and the servers are asked only for what they have; then one file is newer.
    assert flow.planned(*targets) == {}
    bucket.put_object(Key="deep/a.fa.gz", Body=gzip.compress(fasta.lower()))
    again = flow.planned(*targets)
    assert again["fetch_file"] == again["chunk_fasta"] == 1

    (folder / "b.fa").unlink()
    flow.configure(model={"checkpoint": "s3://genomes/none.pt"})
    output = flow.run("-n", fails=True)
    assert [line for line in output.splitlines() if "config error" in line] == [
        f"config error: genomes.tsv: genome 'b': fasta '{address}/b.fa': no such file on the "
        "server, or it may not be read",
        "config error: extractions.default: model.checkpoint: 's3://genomes/none.pt': no such file "
        "on the server, or it may not be read",
    ]
