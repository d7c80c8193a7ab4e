#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Golden vectors for the encoder's tests, from sentence-transformers.

usage: gen_golden_embed.py MODEL_DIR [OUT]        (OUT: tests/golden/embed)

Writes OUT/texts.json (64 varied texts), OUT/all-MiniLM-L6-v2.f32 (their vectors, little-endian, by
MODEL_DIR), and OUT/tiny-bert/: a random BERT of two layers and 32 columns with a vocabulary of its
own, its weights in f32, f16 and bf16, and the vectors of tiny_texts.json for every pooling.
Needs sentence-transformers, torch, safetensors, tokenizers. Runs on one thread in f32.
"""
import json, os, sys
import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel

LONG = ("The lighthouse keeper wrote down the weather every evening, and the ships that passed, and what "
        "he had eaten; after forty years the books filled a wall. ")
TEXTS = [
    "", " ", "\t\n \r\n", "a", "Hello", "hello", "HELLO!", ".", "?!", "1", "3.14159", "2026-11-24T10:11:12Z",
    "How do I create an index in PostgreSQL?", "how do i create an index in postgresql",
    "CREATE INDEX CONCURRENTLY ON orders USING gin (payload jsonb_path_ops);",
    "SELECT count(*) FROM t WHERE a = 1 AND b <> 'x';",
    "int main(void) { return printf(\"%d\\n\", 1 << 4) < 0; }",
    "def f(x):\n    return x ** 2 + 1\n", "<html><body><p class=\"x\">Hi</p></body></html>",
    "https://example.org/a/b?c=d&e=%20f#g", "user@example.com", "C:\\Users\\me\\file.txt",
    "It's a dog's life; isn't it?", "state-of-the-art, end-to-end", "na\u00efve caf\u00e9 r\u00e9sum\u00e9 \u00c5ngstr\u00f6m",
    "nai\u0308ve cafe\u0301 (decomposed)", "Stra\u00dfe und Gr\u00f6\u00dfe \u00fcber \u00c4rger", "El ni\u00f1o comi\u00f3 pi\u00f1a ma\u00f1ana.",
    "\u039f \u03c3\u03bf\u03c6\u03cc\u03c2 \u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3", "\u0421\u044a\u0435\u0448\u044c \u0435\u0449\u0451 \u044d\u0442\u0438\u0445 \u043c\u044f\u0433\u043a\u0438\u0445 \u0431\u0443\u043b\u043e\u043a",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\uff0c\u6211\u4eec\u53bb\u516c\u56ed\u3002", "\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd\u3067\u3059\u3002", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4.",
    "\u0627\u0644\u0644\u063a\u0629 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u062c\u0645\u064a\u0644\u0629", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0939\u093f\u0928\u094d\u0926\u0940 \u092e\u0947\u0902 \u090f\u0915 \u0935\u093e\u0915\u094d\u092f", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "I \u2764\ufe0f pizza \U0001f355\U0001f355", "\U0001f469\u200d\U0001f469\u200d\U0001f467 family \U0001f1eb\U0001f1f7", "\u00a9 2026 \u2014 \u201cquoted\u201d \u2026 \u20ac5",
    "x\u00b2 + y\u00b2 = z\u00b2, \u2211 \u221a \u221e \u2260", "zero\u200bwidth\u00a0space\ufeff", "[CLS] [SEP] [MASK] [PAD]", "[UNK]",
    "supercalifragilisticexpialidocious", "a" * 120, "word " * 300, LONG * 2, LONG * 6, LONG * 20, LONG[:80] * 40,
    "one two three four five six seven eight nine ten", "The quick brown fox jumps over the lazy dog.",
    "A man is eating food.", "A man is eating a piece of bread.", "A cheetah is running behind its prey.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "the the the the the the the the", "!!!!!!!!!!!!!!!!!!!!", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20",
    "low\tlevel\ncontrol\u0000? no: tabs, newlines", "MiXeD CaSe WoRdS aNd \u0130stanbul", "\u5b57" * 300, "ok",
]
TEXTS = [t.replace("\u0000", "") for t in TEXTS]
TINY_TEXTS = ["", "a", "the cat sat", "the cat sat on the mat and the dog ran", "Cats? Dogs! 42.", "zzz unknown qq",
              "caf\u00e9 \u732b", "the cat ran " * 30]
POOLINGS = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens", "max": "pooling_mode_max_tokens",
            "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
            "weighted_mean": "pooling_mode_weightedmean_tokens", "last": "pooling_mode_lasttoken"}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=True)
        f.write("\n")


def vectors(folder, texts):
    model = SentenceTransformer(folder, device="cpu")
    model.float()
    return np.asarray(model.encode(texts, batch_size=1), "<f4")


def tiny_vocab():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = "the cat cats sat on mat and dog dogs ran".split()
    return (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("!?.,'-") + list(letters) +
            ["##" + c for c in letters] + words + ["##at", "##og", "##s", "\u732b"])


def tiny_folder(folder):
    vocab = tiny_vocab()
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/vocab.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(vocab) + "\n")
    torch.manual_seed(20261124)
    config = BertConfig(vocab_size=len(vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=72, max_position_embeddings=40, initializer_range=0.3)
    model = BertModel(config, add_pooling_layer=False).eval()
    for name, p in model.named_parameters():
        if p.dim() == 1:
            p.data += 0.2 * torch.randn_like(p)
    config.architectures = ["BertModel"]
    config.save_pretrained(folder)
    state = {k: v.contiguous() for k, v in model.state_dict().items() if "position_ids" not in k}
    save_file(state, f"{folder}/model.safetensors", metadata={"format": "pt"})
    for name, dtype in (("f16", torch.float16), ("bf16", torch.bfloat16)):
        save_file({"bert." + k: v.to(dtype) for k, v in state.items()}, f"{folder}/prefixed-{name}.safetensors")
    write_json(f"{folder}/tokenizer_config.json", {"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    write_json(f"{folder}/sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})
    return state


def pooled(folder, out, key, state, dtype=None, normalize=False):
    """Vectors of the tiny texts with one pooling, by a copy of the folder."""
    import shutil, tempfile
    with tempfile.TemporaryDirectory() as work:
        for name in ("config.json", "vocab.txt", "tokenizer_config.json", "sentence_bert_config.json"):
            shutil.copy(f"{folder}/{name}", work)
        kept = {k: (v if dtype is None else v.to(dtype).float()) for k, v in state.items()}
        save_file(kept, f"{work}/model.safetensors", metadata={"format": "pt"})
        modules = ["Transformer", "Pooling"] + (["Normalize"] if normalize else [])
        write_json(f"{work}/modules.json", [
            {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{m}", "type": f"sentence_transformers.models.{m}"}
            for i, m in enumerate(modules)])
        os.makedirs(f"{work}/1_Pooling")
        write_json(f"{work}/1_Pooling/config.json", {"word_embedding_dimension": 32, **{k: k == key for k in POOLINGS.values()}})
        vectors(work, TINY_TEXTS).tofile(out)


def main():
    model, out = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "tests/golden/embed"
    torch.set_num_threads(1)
    os.makedirs(out, exist_ok=True)
    assert len(TEXTS) == 64, len(TEXTS)
    write_json(f"{out}/texts.json", TEXTS)
    vectors(model, TEXTS).tofile(f"{out}/all-MiniLM-L6-v2.f32")
    tiny = f"{out}/tiny-bert"
    state = tiny_folder(tiny)
    write_json(f"{out}/tiny_texts.json", TINY_TEXTS)
    for name, key in POOLINGS.items():
        pooled(tiny, f"{tiny}/{name}.f32", key, state)
    pooled(tiny, f"{tiny}/mean-normalized.f32", POOLINGS["mean"], state, normalize=True)
    pooled(tiny, f"{tiny}/mean-f16.f32", POOLINGS["mean"], state, dtype=torch.float16)
    pooled(tiny, f"{tiny}/mean-bf16.f32", POOLINGS["mean"], state, dtype=torch.bfloat16)


main()
