#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Prints the path of an nvcc with cuBLASLt's header beside it. Where the machine has none, fetches the toolkit's parts as
# NVIDIA's own wheels, through whatever index pip is configured for, into build/cuda-toolkit: a 0.5 GB download, 0.7 GB
# on disk, once. No driver and no device are needed to compile.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'U'
usage: deploy/cuda-toolkit.sh [--fetch] [FOLDER]
  prints the nvcc to build with: of $CUDA_HOME, of $PATH, of /usr/local/cuda, else of FOLDER (default
  build/cuda-toolkit), which it fills from NVIDIA's wheels when it is not there
  --fetch  does not look on the machine: FOLDER it is
U
}
fetch=no folder=
for arg in "$@"; do
    case $arg in
    -h | --help) usage; exit 0 ;;
    --fetch) fetch=yes ;;
    -*) die "unknown argument '$arg' (try --help)" ;;
    *) folder=$arg ;;
    esac
done
folder=${folder:-$build/cuda-toolkit}
pins=$root/deploy/cuda-toolkit.txt

# usable NVCC: it runs, is of CUDA 12.9 or later (cuBLASLt scales fp8 by row and column since), and has cuBLASLt beside it.
usable() {
    local home release
    [ -x "$1" ] || return 1
    home=$(dirname "$(dirname "$(readlink -f "$1")")")
    [ -f "$home/include/cublasLt.h" ] || compgen -G "$home/targets/*/include/cublasLt.h" >/dev/null || return 1
    release=$("$1" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$release" ] && [ $((${release% *} * 100 + ${release#* })) -ge 1209 ]
}

if [ $fetch = no ]; then
    for nvcc in "${CUDA_HOME:-}/bin/nvcc" "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc; do
        if usable "$nvcc"; then
            printf '%s\n' "$nvcc"
            exit 0
        fi
    done
fi

stamp=$(sha256sum "$pins" | cut -d' ' -f1)
if [ "$(cat "$folder/.complete" 2>/dev/null)" != "$stamp" ]; then
    python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip; install python3-pip, or a CUDA toolkit"
    say "Getting the CUDA toolkit's compiler and cuBLAS (0.5 GB)" >&2
    mkdir -p "$(dirname "$folder")"
    part=$folder.part
    rm -rf "$part" "$folder"
    trap 'rm -rf "$part"' EXIT
    run_logged cuda-toolkit "NVIDIA's wheels could not be installed" \
        python3 -m pip install --disable-pip-version-check --no-cache-dir --no-deps --no-compile --require-hashes \
        --only-binary :all: --target "$part" -r "$pins"
    # What compiling and running need; nvblas and cuBLAS's other door are not among it.
    rm -f "$part"/nvidia/cu13/lib/libnvblas.so.* "$part"/nvidia/cu13/lib/libcublas.so.*
    (
        cd "$part/nvidia/cu13"
        ln -s lib lib64
        for file in lib/*.so.*; do
            name=$(basename "$file")
            ln -sf "$name" "lib/${name%%.so.*}.so"
        done
    )
    mv "$part/nvidia/cu13" "$folder"
    printf '%s\n' "$stamp" >"$folder/.complete"
fi
usable "$folder/bin/nvcc" || die "$folder/bin/nvcc does not run on this machine"
printf '%s\n' "$folder/bin/nvcc"
