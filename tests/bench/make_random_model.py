# SPDX-License-Identifier: MIT
"""A sentence encoder of a given shape with random weights: for timing, where only the shape counts.

usage: make_random_model.py MODEL OUT [--layers 12] [--hidden 768] [--heads 12] [--inner 3072] [--seed 4] [--window N] [--f16]
MODEL is a BERT-style sentence-transformers folder: its tokenizer, pooling and window are taken over. OUT gets a Hugging Face folder (config.json,
model.safetensors in f32, or in f16 at half the size) that lode, transformers and OpenVINO read. The default shape is bge-base's. Needs: numpy."""
import argparse
import json
import os
import shutil
import struct

import numpy as np


def tensors(shape, vocab, positions):
    """name -> size, in the order of the file."""
    h, f = shape.hidden, shape.inner
    out = {"embeddings.word_embeddings.weight": (vocab, h), "embeddings.position_embeddings.weight": (positions, h),
           "embeddings.token_type_embeddings.weight": (2, h), "embeddings.LayerNorm.weight": (h,), "embeddings.LayerNorm.bias": (h,)}
    for layer in range(shape.layers):
        at = f"encoder.layer.{layer}."
        sizes = {f"attention.self.{part}": (h, h) for part in ("query", "key", "value")}
        sizes |= {"attention.output.dense": (h, h), "attention.output.LayerNorm": (h,), "intermediate.dense": (f, h), "output.dense": (h, f),
                  "output.LayerNorm": (h,)}
        for name, size in sizes.items():
            out[f"{at}{name}.weight"] = size
            out[f"{at}{name}.bias"] = size[:1]
    return out


def values(name, size, random):
    """Spread so that activations keep their size through the layers."""
    if name.endswith("LayerNorm.weight"): return (1 + 0.1 * random.standard_normal(size)).astype(np.float32)
    spread = 0.04 if name.endswith("weight") else 0.02
    return (spread * random.standard_normal(size)).astype(np.float32)


def write_safetensors(path, sizes, seed, dtype):
    random, header, at = np.random.default_rng(seed), {}, 0
    element = np.dtype(dtype).itemsize
    for name, size in sizes.items():
        n = element * int(np.prod(size))
        header[name] = {"dtype": "F16" if element == 2 else "F32", "shape": list(size), "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, size in sizes.items(): f.write(values(name, size, random).astype(dtype).tobytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("out")
    for name, default in (("layers", 12), ("hidden", 768), ("heads", 12), ("inner", 3072), ("seed", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--window", type=int, help="tokens of a text, else MODEL's")
    parser.add_argument("--f16", action="store_true")
    args = parser.parse_args()
    shutil.copytree(args.model, args.out, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", ".*", "README.md", "data_config.json"))
    config = json.load(open(f"{args.model}/config.json"))
    config |= {"hidden_size": args.hidden, "num_hidden_layers": args.layers, "num_attention_heads": args.heads, "intermediate_size": args.inner,
               "_name_or_path": "random"}
    json.dump(config, open(f"{args.out}/config.json", "w"), indent=2)
    pooling = f"{args.out}/1_Pooling/config.json"
    if os.path.exists(pooling):
        json.dump({**json.load(open(pooling)), "word_embedding_dimension": args.hidden}, open(pooling, "w"), indent=2)
    if args.window:
        json.dump({"max_seq_length": args.window}, open(f"{args.out}/sentence_bert_config.json", "w"))
    write_safetensors(f"{args.out}/model.safetensors", tensors(args, config["vocab_size"], config["max_position_embeddings"]), args.seed,
                      np.float16 if args.f16 else np.float32)


main()
