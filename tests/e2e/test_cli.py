# SPDX-License-Identifier: MIT
"""The command line as a user types it: output, JSON, exit statuses, interruption."""
import json
import os
import pathlib
import pty
import signal
import subprocess
import time

import pytest

from conftest import Lode, model_dir, program, run

TEXTS = {
    "backup.md": "# Backups\n\nA hot backup copies the data while the server keeps running. Restore verifies it first.\n",
    "index.md": "# Indexes\n\nAn index makes queries faster. Vacuum removes dead rows from tables.\n",
    "cooking.txt": "Boil the pasta in salted water for ten minutes. Add basil and tomatoes.\n",
}


def lode(data, *args, **more):
    return run(*args, "--data", data, "--model", model_dir(), **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    for name, text in TEXTS.items(): (folder / name).write_text(text)
    (folder / "picture.bin").write_bytes(bytes(range(256)) * 64)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory, folder):
    data = tmp_path_factory.mktemp("data") / "d"
    lode(data, "index", folder)
    return data


def test_index_reports_counts_and_the_reason_of_each_failure(tmp_path, folder):
    done = json.loads(lode(tmp_path / "d", "index", folder, "--json").stdout)
    assert done["documents"] == 3 and done["chunks"] >= 3
    assert len(done["failed"]) == 1 and done["failed"][0]["source"].endswith("picture.bin")
    assert done["failed"][0]["reason"]


def test_a_second_run_finds_everything_unchanged(data, folder):
    done = json.loads(lode(data, "index", folder, "--json").stdout)
    assert done["unchanged"] == 3 and done["chunks"] == 0


def test_query_finds_by_meaning_and_prints_the_passage(data):
    out = lode(data, "query", "saving a copy of the database without stopping it", "-k", "1").stdout
    assert out.lstrip().startswith("1  0.")
    assert "hot backup" in out and "\033" not in out


def test_query_json_has_the_documented_shape(data):
    reply = json.loads(lode(data, "query", "how long do noodles cook", "--json", "-k", "2").stdout)
    assert [h["rank"] for h in reply["hits"]] == [1, 2]
    first = reply["hits"][0]
    for key in ("score", "document_id", "chunk", "title", "heading", "text", "start", "end", "source"): assert key in first
    assert "pasta" in first["text"] and first["source"].endswith("cooking.txt")
    assert first["score"] > reply["hits"][1]["score"]
    assert reply["lode"]["plan"]["method"] == "exact scan" and reply["lode"]["plan"]["why"]


def test_explain_says_what_was_done_and_why(data):
    out = lode(data, "query", "--explain", "tables").stdout
    assert "exact scan" in out and "candidates" in out and "ms" in out


def test_query_reads_standard_input(data):
    typed = lode(data, "query", "--json", "pasta").stdout
    piped = lode(data, "query", "--json", "-", stdin="pasta\n").stdout
    assert json.loads(typed)["hits"] == json.loads(piped)["hits"]


def test_a_filter_narrows_the_hits(data):
    only = json.dumps({"must": [{"key": "title", "match": {"value": "Backups"}}]})
    hits = json.loads(lode(data, "query", "pasta", "--filter", only, "--json").stdout)["hits"]
    assert hits and {h["title"] for h in hits} == {"Backups"}


@pytest.mark.parametrize("args, words", [
    (["query", "x", "--filter", '{"mustt":[]}'], "mustt"),
    (["query", "x", "--filter", "{"], "--filter"),
    (["query", "x", "-k", "0"], "--limit"),
    (["query", "x", "--exakt"], "did you mean '--exact'"),
    (["query", "x", "--exact", "--ann"], "exclude"),
    (["query"], "needs TEXT"),
    (["qurey", "x"], "did you mean 'query'"),
    (["documents", "get"], "needs ID"),
    (["index"], "needs PATH"),
    (["query", "   "], "empty"),
])
def test_wrong_usage_is_status_2_with_a_sentence(data, args, words):
    done = lode(data, *args, check=False)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""


def test_nothing_found_is_status_1(data):
    none = json.dumps({"must": [{"key": "title", "match": {"value": "no such title"}}]})
    done = lode(data, "query", "x", "--filter", none, check=False)
    assert done.returncode == 1 and "nothing found" in done.stderr
    assert lode(data, "documents", "get", "no-such-document", check=False).returncode == 1


def test_missing_data_and_missing_model_are_status_3(tmp_path, data):
    done = lode(tmp_path / "none", "query", "x", check=False)
    assert done.returncode == 3 and str(tmp_path / "none") in done.stderr
    done = run("query", "x", "--data", data, "--model", tmp_path, check=False)
    assert done.returncode == 3 and done.stderr.startswith("lode: ")
    done = lode(data, "query", "x", "-c", "elsewhere", check=False)
    assert done.returncode == 3 and "elsewhere" in done.stderr


def test_every_command_has_help():
    listing = run("--help").stdout
    rows = [line[2:28].split("  ")[0] for line in listing.splitlines() if line.startswith("  ") and not line.startswith("  --")]
    assert len(rows) > 15
    for row in rows:
        words = [w for w in row.split() if w.islower() and w.isalpha()]
        text = run(*words, "--help").stdout
        assert text.startswith("usage: lode " + " ".join(words)) and "--data" in text


def test_collections_are_made_listed_and_deleted(tmp_path):
    data = tmp_path / "d"
    lode(data, "collections", "create", "notes", "--chunk", "none")
    lode(data, "collections", "create", "raw", "--dim", "3", "--distance", "euclid")
    rows = [json.loads(line) for line in lode(data, "collections", "list", "--json").stdout.splitlines()]
    assert [(r["name"], r["dim"], r["distance"], r["chunk"]) for r in rows] == [
        ("notes", 384, "Cosine", "none"), ("raw", 3, "Euclid", "sentence")]
    assert lode(data, "collections", "create", "raw", check=False).returncode == 3
    assert lode(data, "collections", "create", "no spaces", check=False).returncode == 2
    lode(data, "collections", "delete", "raw")
    assert lode(data, "collections", "info", "raw", check=False).returncode == 3
    assert "384" in lode(data, "collections", "info", "notes").stdout


def test_another_chunking_of_an_existing_collection_is_refused(data, folder):
    done = lode(data, "index", folder, "--chunk", "none", check=False)
    assert done.returncode == 3 and "--chunk" in done.stderr


def test_documents_are_listed_read_and_deleted(tmp_path, folder):
    data = tmp_path / "d"
    lode(data, "index", folder)
    rows = [json.loads(line) for line in lode(data, "documents", "list", "--json").stdout.splitlines()]
    assert len(rows) == 3 and {"id", "title", "source", "metadata"} <= set(rows[0])
    assert len(lode(data, "documents", "list", "--json", "--limit", "2").stdout.splitlines()) == 2
    pasta = next(r["id"] for r in rows if r["source"].endswith("cooking.txt"))
    assert "Boil the pasta" in lode(data, "documents", "get", pasta).stdout
    lode(data, "documents", "delete", pasta)
    assert lode(data, "documents", "delete", pasta, check=False).returncode == 1
    hits = json.loads(lode(data, "query", "pasta", "--json").stdout)["hits"]
    assert pasta not in {h["document_id"] for h in hits}


def test_prune_removes_what_is_gone(tmp_path, folder):
    data, copy = tmp_path / "d", tmp_path / "copy"
    copy.mkdir()
    for name, text in TEXTS.items(): (copy / name).write_text(text)
    lode(data, "index", copy)
    (copy / "cooking.txt").unlink()
    done = json.loads(lode(data, "index", copy, "--prune", "--json").stdout)
    assert done["removed"] == 1 and done["unchanged"] == 2


def test_jsonl_from_standard_input_with_named_fields(tmp_path):
    data = tmp_path / "d"
    lines = "".join(json.dumps({"key": "k%d" % i, "body": text}) + "\n" for i, text in enumerate(TEXTS.values()))
    lode(data, "index", "-", "--type", "application/x-ndjson", "--fields", "id=key,text=body", stdin=lines)
    hits = json.loads(lode(data, "query", "pasta", "--json", "-k", "1").stdout)["hits"]
    assert hits[0]["document_id"] == "k2"
    done = lode(data, "index", "-", "--fields", "text=", stdin=lines, check=False)
    assert done.returncode == 2 and "--fields" in done.stderr


def test_tokenize_gives_ids_and_byte_offsets():
    line = json.loads(run("tokenize", "--json", "--model", model_dir(), stdin="Hello wörld\n").stdout)
    assert line["ids"] == [101, 7592, 2088, 102]
    assert line["offsets"] == [[0, 0], [0, 5], [6, 12], [0, 0]]
    assert run("tokenize", "--model", model_dir(), "--no-special", "unbelievable").stdout.split()[0] != "[CLS]"


def test_embed_gives_unit_vectors_one_line_each():
    rows = [json.loads(line) for line in run("embed", "--json", "--model", model_dir(), stdin="one\ntwo\n\n").stdout.splitlines()]
    assert len(rows) == 3
    for row in rows:
        assert len(row["embedding"]) == 384 and abs(sum(x * x for x in row["embedding"]) - 1) < 1e-5
        assert row["truncated"] is False and row["tokens"] >= 2
    plain = run("embed", "--model", model_dir(), "one").stdout.split()
    assert max(abs(float(a) - b) for a, b in zip(plain, rows[0]["embedding"])) < 1e-5


def test_embed_answers_a_single_line_before_the_next_comes():
    proc = subprocess.Popen([program(), "embed", "--json", "--model", model_dir()], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True, bufsize=1)
    for word in ("one", "two"):
        proc.stdin.write(word + "\n")
        assert "embedding" in proc.stdout.readline()
    proc.stdin.close()
    assert proc.wait(30) == 0
    proc.stdout.close()


def test_keys_are_shown_once_and_revoked(tmp_path):
    data = tmp_path / "d"
    made = json.loads(run("keys", "create", "--data", data, "--role", "write", "--name", "ci", "--json").stdout)
    listed = run("keys", "list", "--data", data, "--json").stdout
    assert made["id"] in listed and made["key"] not in listed and json.loads(listed)["role"] == "write"
    run("keys", "revoke", "--data", data, made["id"])
    assert run("keys", "revoke", "--data", data, made["id"], check=False).returncode == 1
    assert run("keys", "create", "--data", data, "--role", "god", check=False).returncode == 2


def test_backup_restores_to_the_same_answers(tmp_path, data):
    lode(data, "backup", tmp_path / "b")
    lode(tmp_path / "r", "restore", tmp_path / "b")
    ask = ("query", "pasta", "--json")
    assert json.loads(lode(tmp_path / "r", *ask).stdout)["hits"] == json.loads(lode(data, *ask).stdout)["hits"]
    assert "0 problems" in lode(tmp_path / "r", "check").stdout
    assert json.loads(lode(tmp_path / "r", "check", "--json").stdout)["problems"] == 0
    assert json.loads(lode(tmp_path / "r", "compact", "--json").stdout)["bytes_after"] > 0
    assert json.loads(lode(tmp_path / "r", *ask).stdout)["hits"]


def beir(folder, documents):
    (folder / "qrels").mkdir(parents=True)
    with open(folder / "corpus.jsonl", "w") as out:
        for key, text in documents.items(): out.write(json.dumps({"_id": key, "title": "", "text": text}) + "\n")
    queries = {"q1": "cooking noodles", "q2": "copying data of a running server", "q3": "nobody judged this"}
    with open(folder / "queries.jsonl", "w") as out:
        for key, text in queries.items(): out.write(json.dumps({"_id": key, "text": text}) + "\n")
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tcooking.txt\t2\nq2\tbackup.md\t1\nq2\tindex.md\t1\n")


@pytest.mark.parametrize("chunk", ["none", "sentence"])
def test_eval_measures_and_leaves_nothing_behind(tmp_path, chunk):
    beir(tmp_path / "corpus", TEXTS)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch)}
    out = subprocess.run([program(), "eval", str(tmp_path / "corpus"), "--exact", "--chunk", chunk, "--json", "--model",
                          model_dir()], capture_output=True, text=True, env=env, check=True).stdout
    got = json.loads(out)
    assert got["queries"] == 2 and got["ndcg_at_10"] > 0.9 and got["recall_at_100"] == 1 and got["mrr_at_10"] == 1
    assert got["queries_per_s"] > 0 and list(scratch.iterdir()) == []


def bench_encode(*flags):
    return json.loads(run("bench", "encode", "--batch", "4", "--seconds", "1", "--model", model_dir(), *flags, "--json").stdout)


def test_bench_encode_reports_rates_shares_and_latencies():
    got = bench_encode("--tokens", "16", "--dtype", "int8")
    assert got["seq_per_s"] > 0 and got["dtype"] == "int8" and got["ms_p99"] >= got["ms_p95"] >= got["ms_p50"] > 0
    assert abs(got["tokens_per_s"] / got["seq_per_s"] - 16) < 1.5
    tokens = got["tokens"] / got["sequences"]  # 2 L (4 H H + 2 H F) a token and 4 L H for each pair
    assert got["mops_per_sequence"] == pytest.approx(6 * (24 * 384 * 384 * tokens + 4 * 384 * tokens ** 2) / 1e6, rel=0.02)
    assert got["peak_gops_per_s"] > 0 and got["share_of_peak"] > 0
    steps = {"tokenise", "embed", "qkv", "attention", "project", "norm", "up", "down", "pool", "other"}
    assert set(got["profile"]) == steps and sum(got["profile"].values()) == pytest.approx(100, abs=15)
    assert [l["tokens"] for l in got["latency"]] == [16, 64, 128]
    assert all(l["ms_p99"] >= l["ms_p50"] > 0 and l["calls"] >= 20 for l in got["latency"])
    assert 0 < got["rss_anon_bytes"] <= got["rss_peak_bytes"]


def test_bench_encode_can_leave_everything_but_the_rate_out():
    got = bench_encode("--tokens", "8", "--rate-only", "--dtype", "f32")
    assert got["seq_per_s"] > 0 and got["dtype"] == "f32" and "profile" not in got and "latency" not in got
    done = run("bench", "encode", "--arrival", "--tokens", "5", check=False)
    assert done.returncode == 2 and "--arrival" in done.stderr


def npy(path, rows, dim):
    import random
    import struct
    r = random.Random(5)
    header = ("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (rows, dim)).ljust(117) + "\n"
    numbers = struct.pack("<%df" % (rows * dim), *[r.gauss(0, 1) for _ in range(rows * dim)])
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + numbers)


def test_bench_search_is_exact_and_the_graph_is_near(tmp_path):
    npy(tmp_path / "v.npy", 1200, 32)
    exact = json.loads(run("bench", "search", "--vectors", tmp_path / "v.npy", "--queries", "100", "--exact", "--json").stdout)
    assert exact["recall_at_10"] == 1 and exact["qps"] > 0
    ann = json.loads(run("bench", "search", "--vectors", tmp_path / "v.npy", "--queries", "100", "--ann", "--ef", "200",
                         "--json").stdout)
    assert ann["recall_at_10"] > 0.9 and ann["build_s"] > 0
    (tmp_path / "bad.npy").write_bytes(b"no numbers here at all")
    done = run("bench", "search", "--vectors", tmp_path / "bad.npy", check=False)
    assert done.returncode == 2 and ".npy" in done.stderr
    flat = (tmp_path / "v.npy").read_bytes().replace(b"(1200, 32), }   ", b"(150, 8, 32), }", 1)
    (tmp_path / "cube.npy").write_bytes(flat)
    done = run("bench", "search", "--vectors", tmp_path / "cube.npy", check=False)
    assert done.returncode == 2 and "shape" in done.stderr


def test_an_id_of_another_file_is_refused_by_the_name_of_its_own(tmp_path):
    (tmp_path / "first.csv").write_text("id,text\n1,apples\n")
    (tmp_path / "second.csv").write_text("id,text\n1,pears\n")
    run("index", tmp_path / "first.csv", "--data", tmp_path / "d", "--no-segment")
    done = run("index", tmp_path / "second.csv", "--data", tmp_path / "d", "--no-segment", "--json", check=False)
    assert done.returncode == 1  # nothing of it was taken
    done = json.loads(done.stdout)
    assert done["failed"][0]["source"].endswith("second.csv")
    assert "'1'" in done["failed"][0]["reason"] and "first.csv" in done["failed"][0]["reason"]


def test_interrupted_indexing_keeps_what_is_done_and_goes_on(tmp_path):
    data = tmp_path / "d"
    lines = [json.dumps({"_id": "d%d" % i, "text": ("Sentence %d about things. " % i) * 40}) for i in range(2000)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    proc = subprocess.Popen([program(), "index", str(tmp_path / "many.jsonl"), "--data", str(data), "--model", model_dir()],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        listed = run("documents", "list", "--data", data, "--limit", "1", check=False)
        if listed.returncode == 0 and listed.stdout: break
        time.sleep(0.1)
    proc.send_signal(signal.SIGINT)
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == 130 and "goes on from there" in err
    kept = len(run("documents", "list", "--data", data).stdout.splitlines())
    assert 0 < kept < 2000
    assert "0 problems" in run("check", "--data", data).stdout


def test_a_terminal_gets_bold_text_and_a_pipe_does_not(data):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(program(), [program(), "query", "hot backup", "--data", str(data), "--model", model_dir()])
    shown = b""
    while True:
        try: piece = os.read(fd, 65536)
        except OSError: break
        if not piece: break
        shown += piece
    os.close(fd)
    assert os.waitpid(pid, 0)[1] == 0
    bold = shown.decode().replace("\r", "")
    assert "\033[1m" in bold and "\033[0m" in bold
    assert "hot backup copies" in bold.split("\033[1m", 2)[2].replace("\n", " ")


def test_version_and_manual_page_agree():
    version = run("--version").stdout.split()[1]
    page = (pathlib.Path(__file__).resolve().parents[2] / "deploy/lode.1").read_text()
    assert version in page
    for line in run("--help").stdout.splitlines():
        if line.startswith("  ") and not line.startswith("  --"): assert "lode " + line.split()[0] in page


def test_query_over_url_answers_like_the_local_one(data):
    server = Lode(data)
    try:
        ask = ("query", "copy of the database", "-k", "2")
        here = json.loads(lode(data, *ask, "--json").stdout)["hits"]
        there = json.loads(run(*ask, "--json", "--url", server.url).stdout)["hits"]
        assert here == there
        assert run(*ask, "--url", server.url).stdout == lode(data, *ask).stdout
        done = run("query", "x", "-c", "elsewhere", "--url", server.url, check=False)
        assert done.returncode == 3 and "elsewhere" in done.stderr
        gone = server.url
    finally:
        server.stop()
    done = run("query", "x", "--url", gone, check=False)
    assert done.returncode == 4 and gone in done.stderr and done.stdout == ""
    assert run("query", "x", "--url", "ftp://somewhere", check=False).returncode == 2
