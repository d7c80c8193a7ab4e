#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Golden scores for the encoder's cross-encoder test, from transformers.

usage: gen_golden_score.py [OUT]        (OUT: tests/golden/score)

Writes OUT/tiny-cross/: a random BertForSequenceClassification of two layers and 32 columns with one
label and, beside it, its twin with three (three-config.json, three-model.safetensors), a vocabulary
and the same tokenizer as tokenizer.json; OUT/pairs.json: queries with texts; OUT/one.f32 and
OUT/three.f32: their logits, little-endian, query by query; OUT/tokens.json: ids and types of each
pair. Needs torch, transformers, tokenizers. Runs on one thread in f32.
"""
import json, os, shutil, sys
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

WINDOW = 24
PAIRS = [
    ["the cat", ["the cat sat on the mat", "a dog ran", "", "zzz unknown", "Cats? Dogs! 42."]],
    ["", ["the dog", ""]],
    ["the cat sat on the mat and the dog ran", ["the dog", "the cat ran " * 10, "the dogs ran on the mat and sat on cats"]],
    ["the cat ran " * 10, ["the dog", "the dogs " * 15, "the cat ran " * 10, "the cat sat on the mat and the dog", "on"]],
    ["the cat ran to a dog at", ["the cat sat on the mat and the dog ran", "the cat ran to a dog at the mat"]],
]


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=True)
        f.write("\n")


def vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("!?.,") + list(letters) +
            ["##" + c for c in letters] + "the cat cats sat on mat and dog dogs ran".split())


def model_of(folder, prefix, labels, size):
    config = BertConfig(vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=40, max_position_embeddings=WINDOW, initializer_range=0.3, num_labels=labels)
    model = BertForSequenceClassification(config).eval()
    for p in model.parameters():
        if p.dim() == 1:
            p.data += 0.2 * torch.randn_like(p)
    config.architectures = ["BertForSequenceClassification"]
    config.save_pretrained(folder)
    if prefix:
        os.rename(f"{folder}/config.json", f"{folder}/{prefix}config.json")
    state = {k: v.contiguous() for k, v in model.state_dict().items() if "position_ids" not in k}
    save_file(state, f"{folder}/{prefix}model.safetensors", metadata={"format": "pt"})
    return model


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/score"
    folder = f"{out}/tiny-cross"
    torch.set_num_threads(1)
    torch.manual_seed(20261124)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with open(f"{folder}/vocab.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(vocabulary()) + "\n")
    tokenizer = BertTokenizerFast(f"{folder}/vocab.txt", do_lower_case=True, model_max_length=WINDOW)
    tokenizer.backend_tokenizer.save(f"{folder}/tokenizer.json")
    write_json(f"{folder}/tokenizer_config.json", {"do_lower_case": True, "model_max_length": WINDOW,
                                                   "tokenizer_class": "BertTokenizer"})
    models = {"three": model_of(folder, "three-", 3, len(vocabulary())), "one": model_of(folder, "", 1, len(vocabulary()))}
    inputs = [tokenizer([query], [text], truncation="longest_first", max_length=WINDOW, return_tensors="pt")
              for query, texts in PAIRS for text in texts]
    write_json(f"{out}/pairs.json", [{"query": q, "texts": t} for q, t in PAIRS])
    write_json(f"{out}/tokens.json", [{"ids": i["input_ids"][0].tolist(), "second": i["token_type_ids"][0].tolist().index(1)}
                                      for i in inputs])
    for name, model in models.items():
        with torch.no_grad():
            logits = torch.cat([model(**i).logits for i in inputs])
        np.asarray(logits, "<f4").tofile(f"{out}/{name}.f32")


main()
