# SPDX-License-Identifier: MIT
"""The whole model on the device beside sentence-transformers in f32 on the CPU: least cosine of each number type.

usage: compare_st.py BENCH MODEL TEXTS [--device cuda] [--dtypes f32,bf16,f16,fp8]
BENCH is lode-encode-bench. Prints a line a type; exits with 1 when one is below its bound. Needs: sentence-transformers, numpy."""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np

BOUNDS = {"f32": 0.99999, "bf16": 0.9999, "f16": 0.9999, "fp8": 0.99, "int8": 0.99}


def ours(args, dtype, count, folder):
    """(vectors, what the program said)"""
    out = os.path.join(folder, "v.f32")
    done = subprocess.run([args.bench, args.model, "--texts", args.texts, "--device", args.device, "--dtype", dtype, "--batch", "64", "--rounds", "1",
                           "--out", out], capture_output=True, text=True)
    if done.returncode: return None, done.stderr.strip()
    return np.fromfile(out, np.float32).reshape(count, -1), done.stdout


def main():
    parser = argparse.ArgumentParser()
    for name in ("bench", "model", "texts"): parser.add_argument(name)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtypes", default="f32,bf16,f16,fp8")
    args = parser.parse_args()
    from sentence_transformers import SentenceTransformer
    texts = [line for line in open(args.texts, encoding="utf-8").read().split("\n") if line]
    model = SentenceTransformer(args.model, device="cpu").float()
    reference = model.encode(texts, batch_size=64, convert_to_numpy=True).astype(np.float64)
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for dtype in args.dtypes.split(","):
            vectors, words = ours(args, dtype, len(texts), folder)
            if vectors is None:
                refused = "not supported" in words or "needs" in words
                print(f"cosine {dtype}: {'skipped' if refused else 'FAILED'}: {words}")
                bad += not refused
                continue
            length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
            cosine = (vectors / length * reference).sum(1)
            worst, ok = int(cosine.argmin()), bool(cosine.min() >= BOUNDS[dtype])
            bad += not ok
            print(f"cosine {dtype}: least {cosine.min():.7f} of {len(texts)} (text {worst + 1}), mean {cosine.mean():.7f}, bound {BOUNDS[dtype]}: "
                  f"{'ok' if ok else 'FAILED'}", flush=True)
    sys.exit(1 if bad else 0)


main()
