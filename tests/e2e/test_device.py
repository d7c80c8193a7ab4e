# SPDX-License-Identifier: MIT
"""--device: every command that opens the encoder takes it and says what runs and why. The GPU here is the fake one of tests/gpu/emu: real kernels,
real host code, no speed."""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from conftest import ROOT, Lode, model_dir, program, run

BUILD = pathlib.Path(program()).parent
FAKE = BUILD / "tests/gpu/liblode_cuda_fake.so"
LOAD = BUILD / "tests/unit/gateway/lode_load_embed"
TEXT = "A hot backup copies the data."
fake_gpu = pytest.mark.skipif(not FAKE.exists(), reason="the fake CUDA module is not built")


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    """A model so small that an emulated GPU is quick with it; these tests use it instead of the real one."""
    out = tmp_path_factory.mktemp("model") / "tiny"
    subprocess.run([sys.executable, ROOT / "tests/bench/make_random_model.py", model_dir(), out, "--layers", "2", "--hidden", "64", "--heads", "2",
                    "--inner", "128"], check=True)
    before = os.environ.get("LODE_MODEL")
    os.environ["LODE_MODEL"] = str(out)
    yield
    if before is None:
        del os.environ["LODE_MODEL"]
    else:
        os.environ["LODE_MODEL"] = before


def embed(*args):
    return json.loads(run("embed", "--json", "--model", model_dir(), *args, TEXT).stdout)


def cosine(a, b):
    return sum(x * y for x, y in zip(a["embedding"], b["embedding"]))


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CUDA", ""])
def test_a_device_that_is_none_is_a_wrong_command_line(name):
    done = run("embed", "--device", name, "x", check=False)
    assert done.returncode == 2 and "--device: must be auto, cpu, cuda or cuda:N" in done.stderr


def test_a_gpu_that_is_not_there_is_an_error_when_it_was_asked_for(tmp_path):
    done = run("embed", "--model", model_dir(), "--device", "cuda", "--cuda-module", tmp_path / "none.so", "x", check=False)
    assert done.returncode == 3 and "no CUDA module" in done.stderr


def test_the_device_is_the_server_s_business():
    done = run("query", "x", "--url", "http://127.0.0.1:1", "--device", "cpu", check=False)
    assert done.returncode == 2 and "--device is chosen where the server starts" in done.stderr


@fake_gpu
@pytest.mark.parametrize("dtype,least", [("f32", 0.99999), ("bf16", 0.9999), ("f16", 0.9999)])
def test_vectors_of_a_gpu_are_those_of_the_processor(dtype, least):
    exact = embed("--device", "cpu", "--dtype", "f32")
    got = embed("--device", "cuda:0", "--cuda-module", FAKE, "--dtype", dtype)
    assert (got["dtype"], got["tokens"]) == (dtype, exact["tokens"])
    assert cosine(got, exact) >= least


@fake_gpu
def test_a_number_type_that_a_device_has_not_is_refused_by_name():
    for device, dtype in (("cpu", "f16"), ("cpu", "fp8"), ("cuda", "int8")):
        done = run("embed", "--model", model_dir(), "--device", device, "--cuda-module", FAKE, "--dtype", dtype, "x", check=False)
        assert done.returncode != 0 and dtype in done.stderr


def start_line(tmp_path, *args):
    """What `lode serve` says about its device."""
    server = subprocess.Popen([program(), "serve", "--data", str(tmp_path / "d"), "--port", "0", "--model", model_dir(), *map(str, args)],
                              stdout=subprocess.PIPE, text=True)
    lines = [server.stdout.readline(), server.stdout.readline()]
    server.send_signal(signal.SIGTERM)
    server.stdout.close()
    assert server.wait(30) == 0
    return lines[1]


def test_auto_without_a_gpu_is_the_processor_and_says_why(tmp_path):
    line = start_line(tmp_path, "--device", "auto", "--cuda-module", tmp_path / "none.so")
    assert line.startswith("the model runs on cpu (") and "no CUDA module" in line


@fake_gpu
def test_auto_takes_the_gpu_that_is_there(tmp_path):
    assert start_line(tmp_path, "--device", "auto", "--cuda-module", FAKE).startswith("the model runs on cuda (")


@fake_gpu
@pytest.mark.skipif(not LOAD.exists(), reason="the load generator is not built")
def test_a_server_with_a_gpu_lets_a_thousand_requests_wait_for_it(tmp_path):
    server = Lode(tmp_path / "d", "--device", "cuda", "--cuda-module", str(FAKE))
    try:
        model = server.call("GET", "/info")[1]["model"]
        assert model["device"].startswith("cuda (") and model["device_why"] == "asked for"
        assert len(os.listdir("/proc/%d/task" % server.proc.pid)) > 1088
        for texts, inflight, count in ((1, 1024, 1100), (16, 64, 64)):  # 64 at once of 16 are no bulk here
            done = subprocess.run([LOAD, "--url", server.url, "--json", "--model", "tiny", "--inflight", str(inflight), "--texts-per-request", str(texts), "--tokens",
                                   "6", "--count", str(count)], capture_output=True, text=True, timeout=240)
            r = json.loads(done.stdout)
            assert (done.returncode, done.stderr, r["status"]) == (0, "", {"200": count})
        assert server.call("GET", "/info")[1]["embed_cache"]["stored_entries"] == 0  # memory only: it computes faster than a disk writes
    finally:
        server.stop()


@fake_gpu
def test_exact_search_on_the_gpu_finds_what_the_processor_finds(tmp_path):
    rng = random.Random(7)
    rows = [[rng.gauss(0, 1) for _ in range(16)] for _ in range(24000)]
    queries = [[rng.gauss(0, 1) for _ in range(16)] for _ in range(5)]

    def found(server):
        out = []
        for q in queries:
            body = {"query": q, "limit": 10, "params": {"exact": True}}
            status, reply = server.call("POST", "/collections/c/points/query", body)
            assert status == 200, reply
            out.append([(h["id"], h["score"]) for h in reply["result"]["points"]])
        return out, reply["lode"]["plan"]["method"]

    server = Lode(tmp_path / "d", "--device", "cpu")
    try:
        assert server.call("PUT", "/collections/c", {"vectors": {"size": 16, "distance": "Cosine"}})[0] == 200
        for at in range(0, len(rows), 8000):
            points = [{"id": at + i + 1, "vector": v} for i, v in enumerate(rows[at : at + 8000])]
            assert server.call("PUT", "/collections/c/points?wait=true", {"points": points})[0] == 200
        want, method = found(server)
        assert method == "exact scan"
    finally:
        server.stop()
    server = Lode(tmp_path / "d", "--device", "cuda", "--cuda-module", str(FAKE), "--search-memory", "64")
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:  # the copy is made in the background
            got, method = found(server)
            assert got == want
            if method == "exact scan (cuda)":
                break
            time.sleep(0.2)
        assert method == "exact scan (cuda)"
        body = {"points": [{"id": 90001, "vector": queries[0]}]}
        assert server.call("PUT", "/collections/c/points?wait=true", body)[0] == 200
        assert found(server)[0][0][0][0] == 90001  # a write is seen at once, wherever the scan runs
    finally:
        server.stop()
