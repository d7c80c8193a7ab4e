#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles and links all CUDA sources with warnings as errors (no device needed), and checks what came of it: the module
# shows its one symbol, it opens, and a program beside it runs and says why it took the device it took.
# usage: deploy/dev/check_cuda.sh [FOLDER]    builds in FOLDER, default build-cuda
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

folder=${1:-$root/build-cuda}
nvcc=$(bash "$root/deploy/cuda-toolkit.sh")
run_logged cuda-cmake "the CUDA build could not be configured" \
    cmake -S "$root" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLODE_ENCODER_ONLY=ON -DLODE_TESTS=OFF \
    -DLODE_CUDA=ON "-DLODE_NVCC=$nvcc"
run_logged cuda-build "the CUDA sources do not compile or link" ninja -C "$folder" lode_cuda lode-encode-bench

module=$folder/liblode_cuda.so
names=$(nm -D --defined-only "$module" | awk '{ print $3 }')
[ "$names" = lode_cuda_module ] || die "the module shows other symbols than lode_cuda_module: $names"

# 2: an unknown device; 3: no device, in words; 0: it ran.
bench() { "$folder/lode-encode-bench" "$model_dir" --latency --count 4 --rounds 1 "$@" 2>&1; }
words=$(bench --device auto) || die "with the module beside it, --device auto fails: $words"
if ! words=$(bench --device cuda); then
    case $words in
    *"no CUDA module"*) die "the module does not open: $words" ;;
    ?*) ;; # no driver or no device on this machine
    *) die "--device cuda fails without a word" ;;
    esac
fi
mv "$module" "$module.away"
words=$(bench --device auto) || words="failed: $words"
mv "$module.away" "$module"
[[ $words == *"on cpu"* ]] || die "without the module, --device auto does not run on the processor: $words"
