# SPDX-License-Identifier: MIT
"""The service as a user meets it: cold query, server query latency, restart with many points, indexing speed and memory.

usage: service_bench.py LODE MODEL FOLDER VECTORS.npy WORK
LODE is the program, FOLDER what to index (such as the PostgreSQL manual's HTML), VECTORS.npy unit rows (n, d) f32, WORK a scratch folder.
Standard library and numpy only. One JSON object per line."""
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

import numpy as np

LODE, MODEL, FOLDER, VECTORS, WORK = sys.argv[1:6]
ENV = {**os.environ, "LODE_MODEL": MODEL}
QUESTIONS = ["How do I take a backup while the server keeps running?", "Why does my query not use an index?",
             "What removes old row versions?", "How are locks released?", "Which port does the server listen on?"]


def say(**row):
    print(json.dumps(row), flush=True)


def anon_mb(pid):
    text = open(f"/proc/{pid}/status").read()
    return sum(int(re.search(k + r":\s+(\d+)", text).group(1)) for k in ("RssAnon", "RssShmem")) / 1024


def index(data, folder):
    """Seconds and the highest RssAnon + RssShmem seen."""
    start, peak = time.perf_counter(), 0.0
    proc = subprocess.Popen([LODE, "index", folder, "--data", data, "--json"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while proc.poll() is None:
        try:
            peak = max(peak, anon_mb(proc.pid))
        except (OSError, AttributeError):
            pass
        time.sleep(0.02)
    if proc.returncode:
        raise SystemExit("lode index failed")
    return time.perf_counter() - start, peak, proc.stdout.read().strip().splitlines()[-1]


class Server:
    def __init__(self, data):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        # Without the cache: a question that is asked again would not be embedded again.
        self.proc = subprocess.Popen([LODE, "serve", "--data", data, "--port", str(self.port), "--embed-cache", "0"],
                                     env=ENV, stdout=subprocess.DEVNULL)
        self.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def call(self, method, path, body=None):
        self.http.request(method, path, json.dumps(body) if body is not None else None, {"content-type": "application/json"})
        reply = self.http.getresponse()
        text = reply.read()
        if reply.status != 200:
            raise SystemExit(f"{path}: {reply.status} {text[:300]}")
        return json.loads(text)

    def wait(self, ask):
        while True:
            try:
                return ask()
            except OSError:
                self.http.close()
                time.sleep(0.005)

    def stop(self):
        self.proc.terminate()
        self.proc.wait()


def text_part():
    data = f"{WORK}/text"
    seconds, peak, last = index(data, FOLDER)
    again, _, _ = index(data, FOLDER)
    say(what="index", seconds=round(seconds, 2), peak_anon_mb=round(peak), second_run_s=round(again, 3), speedup=round(seconds / again), result=json.loads(last))
    cold = []
    for q in QUESTIONS * 2:
        start = time.perf_counter()
        subprocess.run([LODE, "query", q, "--data", data], env=ENV, check=True, stdout=subprocess.DEVNULL)
        cold.append(time.perf_counter() - start)
    say(what="cold lode query", p50_s=round(statistics.median(cold), 3), max_s=round(max(cold), 3))
    server = Server(data)
    ask = lambda q: server.call("POST", "/collections/default/search", {"query": q, "limit": 10})
    server.wait(lambda: ask(QUESTIONS[0]))
    ms = []
    for i in range(300):
        start = time.perf_counter()
        ask(QUESTIONS[i % 5] + f" {i}")
        ms.append(1e3 * (time.perf_counter() - start))
    say(what="server text query", p50_ms=round(statistics.median(ms), 2), p95_ms=round(sorted(ms)[285], 2), anon_mb=round(anon_mb(server.proc.pid)))
    server.stop()


def vector_part():
    rows = np.load(VECTORS)[:100_000]
    data = f"{WORK}/vectors"
    server = Server(data)
    server.wait(lambda: server.call("PUT", "/collections/v", {"vectors": {"size": rows.shape[1], "distance": "Cosine"}}))
    start = time.perf_counter()
    for i in range(0, len(rows), 1000):
        server.call("PUT", "/collections/v/points", {"points": [{"id": i + j, "vector": v} for j, v in enumerate(rows[i:i + 1000].tolist())]})
    load = time.perf_counter() - start
    while server.call("GET", "/collections/v")["result"]["indexed_vectors_count"] < len(rows):
        time.sleep(0.2)
    say(what="load over HTTP", points=len(rows), vectors_per_s=round(len(rows) / load), until_indexed_s=round(time.perf_counter() - start, 1))
    body = {"query": rows[17].tolist(), "limit": 10}
    truth = [p["id"] for p in server.call("POST", "/collections/v/points/query", {**body, "params": {"exact": True}})["result"]["points"]]
    server.stop()
    for case in ("restart", "restart, segment file deleted"):
        if "deleted" in case:
            shutil.rmtree(f"{data}/index")
        start = time.perf_counter()
        server = Server(data)
        first = server.wait(lambda: server.call("POST", "/collections/v/points/query", body))
        seconds = time.perf_counter() - start
        found = [p["id"] for p in first["result"]["points"]]
        say(what=case, first_answer_s=round(seconds, 3), correct=found == truth, plan=first["lode"]["plan"]["method"], anon_mb=round(anon_mb(server.proc.pid)))
        if "deleted" in case:
            begin = time.perf_counter()
            while server.call("GET", "/collections/v")["result"]["indexed_vectors_count"] < len(rows):
                time.sleep(0.2)
            say(what="rebuilt in the background", seconds=round(time.perf_counter() - begin, 1))
        server.stop()


os.makedirs(WORK, exist_ok=True)
text_part()
vector_part()
