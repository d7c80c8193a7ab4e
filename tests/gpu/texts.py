# SPDX-License-Identifier: MIT
"""Texts for the GPU runs, one a line, the same on every machine: no corpus is at hand there.

usage: texts.py MODEL KIND COUNT > FILE
KIND is mixed (4 to 250 tokens in no order), squad (lengths as of BERT's question answering at a window of 384: normal around 178, spread 62,
cut at 64 and 384: an assumption, stated with every figure), or a number of tokens. Words are of MODEL's own vocabulary, whole tokens, so that lengths
are exact; every third text of mixed is prose of this tree's own README files, cut to the length."""
import glob
import os
import random
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def length_of(kind, rng):
    if kind == "mixed": return rng.randint(4, 250)
    if kind == "squad": return min(384, max(64, round(rng.gauss(178, 62))))
    return int(kind)


def prose():
    files = sorted(glob.glob(f"{ROOT}/**/README.md", recursive=True))
    return [word for path in files for word in open(path, encoding="utf-8").read().split()]


def main():
    if len(sys.argv) != 4: sys.exit(__doc__)
    model, kind, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    vocabulary = [w for w in open(f"{model}/vocab.txt", encoding="utf-8").read().split("\n") if re.fullmatch("[a-z]{2,}", w)]
    rng, read = random.Random(7), prose() if kind == "mixed" else []
    for i in range(count):
        words = length_of(kind, rng) - 2  # [CLS] and [SEP]
        if read and i % 3 == 0:
            at = rng.randrange(len(read) - words // 2 - 1)
            print(" ".join(read[at:at + words // 2 + 1]))  # some two tokens a word
        else:
            print(" ".join(rng.choice(vocabulary) for _ in range(words)))


main()
