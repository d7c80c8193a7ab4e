# SPDX-License-Identifier: MIT
"""A model folder with its weights in f16: half the size, for a bundle.

usage: to_f16.py MODEL OUT
OUT gets MODEL's JSON and text files and model.safetensors with every F32 tensor rounded to F16 (to nearest); other tensors stay. A value beyond
65504 is an error."""
import json
import shutil
import struct
import sys

PIECE = 1 << 20  # values at a time


def rounded(name, data):
    out = []
    for at in range(0, len(data), 4 * PIECE):
        values = struct.unpack(f"<{len(data[at:at + 4 * PIECE]) // 4}f", data[at:at + 4 * PIECE])
        try:
            out.append(struct.pack(f"<{len(values)}e", *values))
        except OverflowError:
            sys.exit(f"{name}: a value does not fit f16")
    return b"".join(out)


def convert(source, target):
    with open(source, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        body = f.read()
    out, pieces, at = {}, [], 0
    for name, tensor in header.items():
        if name == "__metadata__":
            out[name] = tensor
            continue
        data = body[slice(*tensor["data_offsets"])]
        dtype = tensor["dtype"]
        if dtype == "F32": data, dtype = rounded(name, data), "F16"
        out[name] = {"dtype": dtype, "shape": tensor["shape"], "data_offsets": [at, at + len(data)]}
        pieces.append(data)
        at += len(data)
    text = json.dumps(out).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.writelines(pieces)


def main():
    if len(sys.argv) != 3: sys.exit(__doc__)
    shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.onnx", ".*", "README.md", "data_config.json"))
    convert(f"{sys.argv[1]}/model.safetensors", f"{sys.argv[2]}/model.safetensors")


main()
