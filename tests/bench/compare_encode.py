# SPDX-License-Identifier: MIT
"""lode's encoder beside OpenVINO: same model, same texts, same threads, tokenising included, in turns.

usage: compare_encode.py LODE MODEL TEXTS.jsonl WORK [--pairs int8:openvino-int8,f32:openvino-f32] [--loads 64,128,mixed,arrival,query]
                         [--rounds R] [--threads T] [--calibration N] [--cosine] [--out FILE.json]
LODE is the program, MODEL the model folder, TEXTS a file of {"title", "text"} lines (1,300 or more, such as a BEIR corpus), WORK a folder
for what is made once (the peer's model files, reference vectors). A pair is lode's --dtype and the peer: openvino-f32, openvino-bf16 or
openvino-int8, which is made after seeing N (300) texts. Loads:
  64, 128   384 and 192 texts of that many tokens, batches of 64 and 32
  mixed     256 abstracts, cut at the window, in one call: both sides may sort them
  arrival   500 texts of 4 to 250 tokens in no order, in calls of 32 as they come; the peer pads
  query     64 texts of 16 tokens, one at a time: median milliseconds
Both sides are timed alternately R times. The ratio is of medians, with the least and largest of one round beside it; it is above 1
where lode is faster. ratio_cpu is of texts a second of processor time, which other work on the machine disturbs less. --cosine adds the least cosine of 1,000 abstracts to sentence-transformers in f32, for each dtype.
Needs: openvino, optimum-intel, nncf, transformers, numpy; for --cosine sentence-transformers."""
import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile

import numpy as np

from openvino_peer import Peer

COSINE_TEXTS = 1000


class Lode:
    def __init__(self, args, dtype):
        self.args, self.dtype = args, dtype

    def run(self, *words, stdin=None):
        done = subprocess.run([self.args.lode, *words, "--model", self.args.model, "--dtype", self.dtype, "--threads", str(self.args.threads)],
                              input=stdin, capture_output=True, text=True)
        if done.returncode: raise SystemExit(done.stderr)
        return done.stdout

    def bench(self, file, call):
        return json.loads(self.run("bench", "encode", "--texts", file, "--batch", str(call), "--seconds", "2", "--rate-only", "--json"))

    def vectors(self, texts):
        return np.array([line.split() for line in self.run("embed", stdin="\n".join(texts) + "\n").splitlines()], np.float32)


def read_texts(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    return [" ".join(((r.get("title") or "") + " " + r["text"]).split()) for r in rows]


def make_loads(tok, abstracts):
    """name -> (texts, texts of a batch of the peer, texts of a call)"""
    words = tok(" ".join(abstracts[512:1000]), add_special_tokens=False)["input_ids"]

    def cut(lengths):
        out, at = [], 0
        for n in lengths:
            if at + n > len(words): at = 0
            out.append(tok.decode(words[at:at + n - 2]))
            at += n - 2
        return out

    lengths = random.Random(4)
    return {"64": (cut([64] * 384), 64, 64), "128": (cut([128] * 192), 32, 32), "mixed": (abstracts[:256], 32, 256),
            "arrival": (cut([lengths.randint(4, 250) for _ in range(500)]), 32, 32), "query": (cut([16] * 64), 1, 1)}


def one_round(lode, peer, file, load):
    """(lode's, the peer's) texts a second, or for single texts milliseconds; the same by processor time."""
    texts, batch, call = load
    mine = lode.bench(file, call)
    if call == 1: return (mine["ms_p50"], statistics.median(peer.milliseconds_each(texts))), (1, 1)
    seconds, cpu = peer.seconds(texts, batch, call)
    return (mine["seq_per_s"], len(texts) / seconds), (mine["sequences"] / mine["cpu_seconds"], len(texts) / cpu)


def compare(args, lode, peer, name, load):
    texts, batch, call = load
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as f:
        f.write("\n".join(t.replace("\n", " ") for t in texts) + "\n")
        f.flush()
        peer.seconds(texts[:2 * call], batch, call)  # warms up, shapes included
        rounds = [one_round(lode, peer, f.name, load) for _ in range(args.rounds)]
    mine, theirs = (statistics.median(side) for side in zip(*(r[0] for r in rounds)))
    gain = (lambda a, b: b / a) if call == 1 else (lambda a, b: a / b)
    each = sorted(gain(a, b) for (a, b), _ in rounds)
    unit = "ms_p50" if call == 1 else "seq_per_s"
    row = {f"lode_{unit}": round(mine, 3), f"peer_{unit}": round(theirs, 3), "ratio": round(gain(mine, theirs), 3),
           "ratio_min": round(each[0], 3), "ratio_max": round(each[-1], 3)}
    if call > 1:
        mine, theirs = (statistics.median(side) for side in zip(*(r[1] for r in rounds)))
        row |= {"lode_seq_per_cpu_s": round(mine, 3), "peer_seq_per_cpu_s": round(theirs, 3), "ratio_cpu": round(mine / theirs, 3)}
    return row


def reference(args, abstracts):
    path = f"{args.work}/sentence-transformers-f32.npy"
    if not os.path.exists(path):
        from sentence_transformers import SentenceTransformer
        model = SentenceTransformer(args.model, device="cpu")
        np.save(path, model.encode(abstracts[:COSINE_TEXTS], batch_size=32, normalize_embeddings=True))
    return np.load(path)


def main():
    parser = argparse.ArgumentParser()
    for name in ("lode", "model", "texts", "work"): parser.add_argument(name)
    parser.add_argument("--pairs", default="f32:openvino-f32,int8:openvino-int8")
    parser.add_argument("--loads", default="64,128,mixed,arrival,query")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calibration", type=int, default=300)
    parser.add_argument("--cosine", action="store_true")
    parser.add_argument("--out")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    abstracts, results = read_texts(args.texts), []

    def say(row):
        results.append(row)
        print(json.dumps(row), flush=True)

    for pair in args.pairs.split(","):
        dtype, name = pair.split(":")
        lode, peer = Lode(args, dtype), Peer(name, args.model, args.work, abstracts[1000:1000 + args.calibration], args.threads)
        loads = make_loads(peer.tok, abstracts)
        for load in args.loads.split(","):
            say({"dtype": dtype, "peer": name, "peer_runs_in": peer.runs_in, "load": load, **compare(args, lode, peer, load, loads[load])})
        if args.cosine:
            truth = reference(args, abstracts)
            for who, rows in ((f"lode {dtype}", lode.vectors(abstracts[:COSINE_TEXTS])), (name, peer.encode(abstracts[:COSINE_TEXTS], 32))):
                say({"who": who, "least_cosine": float((rows * truth).sum(1).min()), "texts": COSINE_TEXTS})
    if args.out:
        with open(args.out, "w") as f: json.dump(results, f, indent=1)


main()
