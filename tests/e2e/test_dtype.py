# SPDX-License-Identifier: MIT
"""--dtype: every command that opens the encoder takes it, refuses what it is not, and every reply says what ran."""
import json
import math
import os
import subprocess
import urllib.request

import pytest

from conftest import Lode, model_dir, program, run

DTYPES = ("f32", "bf16", "int8")
LEAST_COSINE = {"f32": 0.999999, "bf16": 0.9999, "int8": 0.99}
TEXTS = ["A hot backup copies the data while the server keeps running.", "Vacuum removes dead rows from tables.",
         "Boil the pasta in salted water for ten minutes."]


def embed(dtype, *texts):
    out = run("embed", "--json", "--model", model_dir(), "--dtype", dtype, *texts).stdout
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def exact():
    return [e["embedding"] for e in embed("f32", *TEXTS)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_type_embeds_near_f32_and_says_what_ran(dtype, exact):
    got = embed(dtype, *TEXTS)
    assert [e["dtype"] for e in got] == [dtype] * len(TEXTS)
    for e, truth in zip(got, exact):
        assert sum(a * b for a, b in zip(e["embedding"], truth)) >= LEAST_COSINE[dtype]
        assert math.isclose(sum(x * x for x in e["embedding"]), 1.0, abs_tol=1e-5)


def test_auto_is_one_of_the_types_that_keep_the_model_s_arithmetic():
    assert embed("auto", "x")[0]["dtype"] in ("f32", "bf16")


def test_the_environment_chooses_and_the_flag_overrides_it():
    def ran(*flags):
        done = subprocess.run([program(), "embed", "--json", "--model", model_dir(), *flags, "x"], capture_output=True, text=True,
                              check=True, env={**os.environ, "LODE_DTYPE": "int8"})
        return json.loads(done.stdout)["dtype"]
    assert ran() == "int8" and ran("--dtype", "f32") == "f32"


@pytest.mark.parametrize("command", [("serve",), ("index", "."), ("query", "x"), ("embed", "x"), ("eval", "."), ("bench", "encode")])
def test_a_wrong_type_is_refused_by_name(command, tmp_path):
    done = run(*command, "--dtype", "fp16", "--data", tmp_path / "d", check=False)
    assert done.returncode == 2 and "--dtype" in done.stderr and "fp16" in done.stderr and "int8" in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_wrong_type_in_the_environment_is_refused_by_name():
    done = subprocess.run([program(), "embed", "x"], capture_output=True, text=True, env={**os.environ, "LODE_DTYPE": "half"})
    assert done.returncode == 2 and "LODE_DTYPE" in done.stderr and "half" in done.stderr


def test_the_type_is_the_server_s_when_a_server_is_asked():
    done = run("query", "x", "--url", "http://127.0.0.1:9", "--dtype", "int8", check=False)
    assert done.returncode == 2 and "--dtype" in done.stderr and "--url" in done.stderr


def test_a_collection_lists_the_types_of_its_vectors(tmp_path):
    data, docs = tmp_path / "d", tmp_path / "docs"
    docs.mkdir()
    shared = ("--data", data, "--model", model_dir())
    for name, dtype, listed in (("a", "f32", "f32"), ("b", "int8", "f32,int8"), ("c", "f32", "f32,int8")):
        (docs / f"{name}.txt").write_text(TEXTS[0] + name)
        done = json.loads(run("index", docs, "--json", "--dtype", dtype, *shared).stdout)
        assert done["dtype"] == dtype and done["chunks"] == 1
        assert json.loads(run("collections", "list", "--json", "--data", data).stdout)["dtype"] == listed
    assert "f32,int8" in run("collections", "info", "--data", data).stdout
    reply = json.loads(run("query", "backup", "--json", "--dtype", "int8", *shared).stdout)
    assert reply["lode"]["plan"]["dtype"] == "int8" and reply["hits"]
    assert "in int8" in run("query", "backup", "--explain", "--dtype", "int8", *shared).stdout


def test_a_server_says_what_it_runs(tmp_path):
    server = Lode(tmp_path / "d", "--dtype", "int8")
    try:
        assert server.call("GET", "/info")[1]["model"]["dtype"] == "int8"
        assert server.call("GET", "/v1/models")[1]["data"][0]["lode"]["dtype"] == "int8"
        body = json.dumps({"model": "all-MiniLM-L6-v2", "input": "hello"}).encode()
        ask = urllib.request.Request(server.url + "/v1/embeddings", body, {"content-type": "application/json"})
        with urllib.request.urlopen(ask) as reply:
            assert reply.headers["x-lode-dtype"] == "int8"
            assert json.load(reply)["lode"]["dtype"] == "int8"
        server.call("PUT", "/collections/c", {})
        vector = {"text": TEXTS[0], "model": "all-MiniLM-L6-v2"}
        assert server.call("GET", "/collections/c")[1]["result"]["lode"]["dtype"] is None
        assert server.call("PUT", "/collections/c/points", {"points": [{"id": 1, "vector": vector}]})[0] == 200
        assert server.call("GET", "/collections/c")[1]["result"]["lode"]["dtype"] == "int8"
        found = server.call("POST", "/collections/c/search", {"query": "backup"})[1]
        assert found["lode"]["plan"]["dtype"] == "int8"
        out = run("query", "backup", "--explain", "-c", "c", "--url", server.url).stdout
        assert "in int8" in out
    finally:
        server.stop()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_openai_package_takes_replies_of_every_type(tmp_path, dtype):
    openai = pytest.importorskip("openai")
    server = Lode(tmp_path / "d", "--dtype", dtype)
    try:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="-", max_retries=0)
        raw = client.embeddings.with_raw_response.create(model="all-MiniLM-L6-v2", input=TEXTS)
        assert raw.headers["x-lode-dtype"] == dtype
        assert [len(d.embedding) for d in raw.parse().data] == [384] * 3
        assert [m.id for m in client.models.list()] == ["all-MiniLM-L6-v2"]
    finally:
        server.stop()
