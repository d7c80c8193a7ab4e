#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What bf16 and int8 cost in quality: the least cosine to f32 over many texts, and nDCG@10 on test collections.

usage: quality.py CORPORA [--texts N] [--dtypes bf16,int8] [--sets cranfield,dbpedia,msmarco] [--skip-ndcg] [--json]

CORPORA holds folders in BEIR's layout (corpus.jsonl, queries.jsonl, qrels/test.tsv). The cosine is taken over the first N
(1,000) documents of the first set and over all queries of all sets; f32 stands for sentence-transformers, to which the golden
test ties it. nDCG@10 is that of `lode eval --exact --chunk none`. LODE_BIN names the program (build/lode), LODE_MODEL the
model. Exit status 1 when a mark is missed: cosine bf16 0.9999, int8 0.99; nDCG within 0.006 in the mean and 0.015 in each set.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("LODE_BIN", str(ROOT / "build/lode"))
MODEL = os.environ.get("LODE_MODEL", str(ROOT / "models/all-MiniLM-L6-v2"))
COSINE = {"f32": 1, "bf16": 0.9999, "int8": 0.99}
NDCG_MEAN, NDCG_ANY = 0.006, 0.015


def lode(*args, **more):
    return subprocess.run([PROGRAM, *map(str, args), "--model", MODEL], check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def texts(folder, name, count=None):
    with open(folder / name, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    joined = ((r.get("title") or "") + " " + r["text"] for r in rows[:count])
    return [" ".join(text.split()) for text in joined]


def vectors(lines, dtype):
    out = lode("embed", "--json", "--dtype", dtype, input="\n".join(lines) + "\n")
    return np.array([json.loads(line)["embedding"] for line in out.splitlines()])


def cosines(a, b):
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def least_cosines(args, sets):
    groups = {"%d documents of %s" % (args.texts, sets[0].name): texts(sets[0], "corpus.jsonl", args.texts),
              "all queries": [q for s in sets for q in texts(s, "queries.jsonl")]}
    rows = []
    for name, lines in groups.items():
        exact = vectors(lines, "f32")
        for dtype in args.dtypes:
            c = cosines(vectors(lines, dtype), exact)
            rows.append({"dtype": dtype, "texts": name, "least": float(c.min()), "mean": float(c.mean()),
                         "good": bool(c.min() >= COSINE[dtype])})
            print("%-5s %-28s least cosine %.6f, mean %.6f" % (dtype, name, c.min(), c.mean()), file=sys.stderr, flush=True)
    return rows


def ndcg(args, sets):
    def measure(folder, dtype):
        return json.loads(lode("eval", folder, "--exact", "--chunk", "none", "--dtype", dtype, "--json"))["ndcg_at_10"]
    rows, exact = [], {s.name: measure(s, "f32") for s in sets}
    for dtype in args.dtypes:
        got = {s.name: measure(s, dtype) for s in sets}
        differences = {name: got[name] - exact[name] for name in got}
        mean = sum(differences.values()) / len(differences)
        rows.append({"dtype": dtype, "ndcg_at_10": got, "f32": exact, "differences": differences, "mean": mean,
                     "good": abs(mean) <= NDCG_MEAN and max(map(abs, differences.values())) <= NDCG_ANY})
        print("%-5s nDCG@10 %s, mean difference %+.4f" % (dtype, ", ".join(
            "%s %.4f (f32 %.4f, %+.4f)" % (n, got[n], exact[n], differences[n]) for n in got), mean), file=sys.stderr, flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("corpora", type=pathlib.Path)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--dtypes", type=lambda s: s.split(","), default=["bf16", "int8"])
    parser.add_argument("--sets", type=lambda s: s.split(","), default=["cranfield", "dbpedia", "msmarco"])
    parser.add_argument("--skip-ndcg", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sets = [args.corpora / name for name in args.sets]
    result = {"cosine": least_cosines(args, sets), "ndcg": [] if args.skip_ndcg else ndcg(args, sets)}
    if args.json:
        print(json.dumps(result, indent=1))
    return 0 if all(r["good"] for rows in result.values() for r in rows) else 1


sys.exit(main())
