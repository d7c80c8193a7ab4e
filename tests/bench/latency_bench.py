# SPDX-License-Identifier: MIT
"""How much slower text queries get while a corpus is indexed: by the server's own job, and by `lode index` in another process.

usage: latency_bench.py LODE MODEL WORK [--seconds S] [--dtype TYPE] [--pause MS] [--rounds N] [--kind server|command]
LODE is the program, MODEL the model folder, WORK a scratch folder. One connection asks searches of text one after another, every text new
(so no cache answers), with a pause between them; what is indexed is made-up prose of a fixed seed, more than fits the measured time. Idle and
busy phases alternate, so that a noisy machine touches both alike. Standard library only. One JSON object per line; "ratio" is busy p99 / idle p99."""
import argparse
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import time

WORDS = ("server table index query row page lock backup plan join date time value column buffer write read cache memory disk log commit the a of to in "
         "and is for with that on as are by this be or which when where can must not from only each other than then more").split()


def prose(rng, words):
    out = []
    for i in range(words):
        out.append(rng.choice(WORDS))
        if i % 12 == 11:
            out[-1] += "."
    return " ".join(out)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))]


class Server:
    def __init__(self, lode, model, data, dtype):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.proc = subprocess.Popen([lode, "serve", "--data", data, "--port", str(self.port), "--model", model, "--dtype", dtype],
                                     stdout=subprocess.DEVNULL)
        self.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while True:
            try:
                self.call("GET", "/healthz")
                return
            except OSError:
                self.http.close()
                time.sleep(0.01)

    def call(self, method, path, body=None, kind="application/json"):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        self.http.request(method, path, data, {"content-type": kind})
        reply = self.http.getresponse()
        text = reply.read()
        if reply.status not in (200, 202):
            raise SystemExit(f"{path}: {reply.status} {text[:300]}")
        return text

    def tokens(self):
        """Tokens the encoder has computed, both lanes."""
        lines = self.call("GET", "/metrics").decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("lode_encoder_tokens_total"))

    def stop(self):
        self.proc.kill()
        self.proc.wait()


def ask(server, seconds, pause, rng):
    """Milliseconds of each search in the time."""
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        text = " ".join(rng.choice(WORDS) for _ in range(11)) + f" {rng.randrange(10 ** 6)}"
        start = time.perf_counter()
        server.call("POST", "/collections/small/search", {"query": text, "limit": 10})
        took.append(1e3 * (time.perf_counter() - start))
        time.sleep(pause)
    return took


def jsonl(rng, docs, words):
    return b"".join(json.dumps({"id": f"d{i}", "text": prose(rng, words)}).encode() + b"\n" for i in range(docs))


class ServerJob:
    short, name = "server", "job of the server"

    def __init__(self, args, server):
        server.call("POST", "/collections/large/documents?wait=false&name=large.jsonl", jsonl(random.Random(5), 3000, 1200), "application/x-ndjson")
        self.server, self.before, self.start = server, server.tokens(), time.perf_counter()

    def stop(self):
        return (self.server.tokens() - self.before) / (time.perf_counter() - self.start)


class CommandLine:
    short, name = "command", "lode index in another process"

    def __init__(self, args, server):
        self.folder = f"{args.work}/corpus"
        os.makedirs(self.folder, exist_ok=True)
        with open(f"{self.folder}/large.jsonl", "wb") as f:
            f.write(jsonl(random.Random(6), 3000, 1200))
        self.proc = subprocess.Popen([args.lode, "index", self.folder, "--data", f"{args.work}/other", "--model", args.model, "--dtype", args.dtype],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)

    def stop(self):
        self.proc.kill()
        self.proc.wait()
        shutil.rmtree(f"{self.folder}/../other", ignore_errors=True)


def one_round(args, kind, server, rng, idle, busy):
    for name in ("small", "large"):
        server.call("PUT", f"/collections/{name}", {})
    server.call("POST", "/collections/small/documents?name=small.jsonl", jsonl(rng, 20, 300), "application/x-ndjson")
    ask(server, 0.5, 0, rng)
    idle += ask(server, args.seconds, args.pause / 1e3, rng)
    load = kind(args, server)
    try:
        ask(server, 0.5, 0, rng)
        busy += ask(server, args.seconds, args.pause / 1e3, rng)
    finally:
        rate = load.stop()
    return rate


def measure(args, kind):
    idle, busy, rate = [], [], []
    for n in range(args.rounds):
        data = f"{args.work}/data"
        shutil.rmtree(data, ignore_errors=True)
        server = Server(args.lode, args.model, data, args.dtype)
        try:
            rate.append(one_round(args, kind, server, random.Random(100 + n), idle, busy))
        finally:
            server.stop()
    row = {"what": kind.name, "dtype": args.dtype, "idle": len(idle), "busy": len(busy)}
    for name, values in (("idle", idle), ("busy", busy)):
        for p in (0.5, 0.95, 0.99):
            row[f"{name}_p{p * 100:g}_ms"] = round(percentile(values, p), 2)
    row["ratio"] = round(row["busy_p99_ms"] / row["idle_p99_ms"], 2)
    row["ratio_p50"] = round(row["busy_p50_ms"] / row["idle_p50_ms"], 2)
    if rate[0]:
        row["indexed_tokens_per_s"] = round(sum(rate) / len(rate))
    print(json.dumps(row), flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("lode", "model", "work"):
        parser.add_argument(name)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--pause", type=float, default=20, help="ms between two searches")
    parser.add_argument("--kind", choices=("both", "server", "command"), default="both")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    for kind in (ServerJob, CommandLine):
        if args.kind in ("both", kind.short):
            measure(args, kind)


main()
