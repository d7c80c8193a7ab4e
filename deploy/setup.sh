#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes build/lode from a clean clone on Debian 12 or 13: packages, Release build, default model.
# Run it again at any time: it does only what is missing.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case "${1:-}" in
-h | --help)
    say "usage: deploy/setup.sh    installs packages (root or sudo), builds build/lode, gets the default model"
    exit 0
    ;;
"") ;;
*) die "unknown argument '$1' (try --help)" ;;
esac

need_packages ca-certificates gcc g++ cmake ninja-build pkg-config python3 python3-pip \
    liblmdb-dev libfaiss-dev libopenblas-dev libdnnl-dev libevent-dev libcjson-dev libroaring-dev libssl-dev
[ -f "$build/CMakeCache.txt" ] && build_lode || build_lode -DLODE_TESTS=OFF
need_model
