#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds base, the tokenizer and the encoder for aarch64 with all warnings as errors, parses every other
# C file of the tree likewise, and runs the kernels' tests under qemu. A developer's tool; see README.md.
set -euo pipefail

usage() {
    cat <<'U'
usage: tests/emu/aarch64.sh [--parse] [WORK]
  --parse  compile and parse only; run nothing
  WORK     where builds and libraries are kept (default: $LODE_ARM or /tmp/lode-arm)
Needs the Debian packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user. The arm64 libraries are
unpacked under WORK; the system's own package lists and architectures stay as they are.
U
}
run=yes
case "${1:-}" in
-h | --help) usage; exit 0 ;;
--parse) run=no; shift ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=${1:-${LODE_ARM:-/tmp/lode-arm}}
sys=$work/sys cross=aarch64-linux-gnu
for tool in $cross-gcc qemu-aarch64; do
    command -v $tool >/dev/null || { echo "aarch64.sh: $tool is missing" >&2; usage >&2; exit 2; }
done

# The libraries and headers of arm64, from package lists of our own.
if [ ! -f "$sys/.complete" ]; then
    mkdir -p "$work"/{lists/partial,cache/archives/partial,debs} "$sys"
    apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o Dir::State::status=/dev/null)
    "${apt[@]}" update
    (cd "$work/debs" && "${apt[@]}" download libcmocka-dev libcmocka0 libcjson-dev libcjson1 libssl-dev \
        libssl3 libroaring-dev libroaring0 libutf8proc-dev libutf8proc2 liblmdb-dev liblmdb0 libevent-dev \
        libevent-2.1-7)
    for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$sys"; done
    touch "$sys/.complete"
fi

flags=(-std=gnu11 -D_GNU_SOURCE '-DLODE_VERSION="0"' -I"$root" -isystem "$sys/usr/include"
    -isystem "$sys/usr/include/$cross" -Wall -Wextra -Wshadow -Wconversion -Wundef -Wvla -Wstrict-prototypes
    -Wmissing-prototypes -Werror)
cd "$root"
mkdir -p "$work/o"
# The files of other processors, and those of oneDNN, are left out.
sources() { find "$@" -name '*.c' | grep -vE 'avx|vnni|native\.c|heads_bf16|onednn' | sort; }

objects=() commands=$work/commands
: >"$commands"
for file in $(sources base encoder) tests/unit/encoder/test_ops.c tests/unit/encoder/test_lowp.c; do
    object=$work/o/${file//\//_}.o
    case $file in # as in the CMakeLists.txt of the folders
    encoder/cpu/int8_neondot.c) more='-O3 -march=armv8.2-a+dotprod' ;;
    encoder/cpu/*_neon.c) more=-O3 ;;
    base/vec*.c) more='-O3 -ffp-contract=off' ;;
    *) more=-O2 ;;
    esac
    printf '%s\0' "$cross-gcc ${flags[*]@Q} $more -c $file -o $object" >>"$commands"
    case $file in tests/*) ;; *) objects+=("$object") ;; esac
done
for file in $(sources storage indexer query gateway); do
    printf '%s\0' "$cross-gcc ${flags[*]@Q} -fsyntax-only $file" >>"$commands"
done
xargs -0 -P "$(nproc)" -I{} bash -c '{}' <"$commands"
echo "aarch64: $(tr -cd '\0' <"$commands" | wc -c) files compile"
[ $run = yes ] || exit 0

lib=$sys/usr/lib/$cross
for name in test_ops test_lowp; do
    $cross-gcc -o "$work/$name" "$work/o/tests_unit_encoder_$name.c.o" "${objects[@]}" \
        "$lib"/lib{cmocka,cjson,crypto,roaring,utf8proc}.so -lm -lpthread
done
emulate() { # PROCESSOR PROGRAM
    echo "== $2 on $1"
    qemu-aarch64 -cpu "$1" -L /usr/$cross -E "LD_LIBRARY_PATH=$lib" "$work/$2"
}
emulate max test_ops
emulate max test_lowp
emulate cortex-a53 test_lowp # without the dot product
