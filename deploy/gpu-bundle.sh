#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Makes build/gpu-bundle/: all that a run on a GPU machine needs that is bare and offline, in less than 64 MiB. Sources for an
# encoder-only build there, programs and the CUDA module built here with the small libraries they need, MiniLM's weights
# in f16, the scripts of tests/gpu. Not in it: cuBLASLt and the driver, which such a machine has.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

serve=no
[ "${1:-}" = --serve ] && { serve=yes; shift; }
case "${1:-}" in
-h | --help)
    say "usage: deploy/gpu-bundle.sh [--serve] [FOLDER]    makes the bundle in FOLDER, default build/gpu-bundle"
    say "  --serve  a whole lode with its load generator for the step of that name, and no weights: another bundle, build/gpu-bundle-serve"
    exit 0
    ;;
-*) die "unknown argument '$1' (try --help)" ;;
esac
bundle=${1:-$build/gpu-bundle$([ $serve = no ] || printf -- -serve)}
limit_mib=64
here=$root/build-bundle

# carry_libraries PROGRAM...: what they link, but for what every Linux with a driver and CUDA has.
carry_libraries() {
    ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
        grep -vE '/(libc|libm|libdl|librt|libpthread|libcublasLt|libcuda)\.so' | while read -r file; do cp -L "$file" "$bundle/lib/"; done
}

check_size() {
    local size
    size=$(du -sk "$bundle" | cut -f1)
    [ "$size" -le $((limit_mib * 1024)) ] || die "the bundle has $((size / 1024)) MiB, more than $limit_mib"
    say "$bundle: $((size / 1024)) MiB"
}

# A whole lode, its load generator, and a model folder without weights: the run makes random ones.
bundle_serve() {
    local here=$root/build-bundle-serve nvcc program
    bash "$root/deploy/setup.sh" || die "setup.sh failed"
    need_packages libcmocka-dev
    nvcc=$(bash "$root/deploy/cuda-toolkit.sh")
    say "Building lode with the CUDA module"
    run_logged bundle-cmake "lode could not be configured" cmake -S "$root" -B "$here" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DLODE_CUDA=ON -DLODE_TESTS=ON -DLODE_ONEDNN=OFF "-DLODE_NVCC=$nvcc"
    run_logged bundle-build "lode could not be built" ninja -C "$here" lode lode_cuda lode_load_embed lode-encode-bench
    rm -rf "$bundle"
    mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/tests/bench" "$bundle/tests/gpu" "$bundle/models/all-MiniLM-L6-v2"
    for program in lode liblode_cuda.so lode-encode-bench tests/unit/gateway/lode_load_embed; do cp "$here/$program" "$bundle/bin/"; done
    carry_libraries "$bundle/bin/lode" "$bundle/bin/lode_load_embed"
    strip --strip-debug "$bundle"/bin/*
    cp "$root/tests/bench/make_random_model.py" "$bundle/tests/bench/"
    cp "$root/tests/gpu/run.sh" "$bundle/tests/gpu/"
    (cd "$model_dir" && find . -type f ! -name '*.safetensors' ! -name '*.bin' | tar -cf - -T -) |
        tar -xf - -C "$bundle/models/all-MiniLM-L6-v2"
    printf '%s\n' '# lode on a GPU, end to end' '' 'On the GPU machine, in this folder: `bash tests/gpu/run.sh serve`.' >"$bundle/README.md"
    check_size
}
if [ $serve = yes ]; then
    bundle_serve
    exit
fi

need_packages gcc g++ cmake ninja-build python3 python3-pip libcjson-dev libcmocka-dev
need_model
nvcc=$(bash "$root/deploy/cuda-toolkit.sh")
say "Building the encoder, the CUDA module and their tests"
run_logged bundle-cmake "the bundle's programs could not be configured" \
    cmake -S "$root" -B "$here" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLODE_ENCODER_ONLY=ON -DLODE_CUDA=ON -DLODE_TESTS=ON \
    -DLODE_ONEDNN=OFF -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON "-DLODE_NVCC=$nvcc"
run_logged bundle-build "the bundle's programs could not be built" ninja -C "$here"

rm -rf "$bundle"
mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/include/cjson" "$bundle/models"
# Sources: what is tracked or would be, of the folders that an encoder-only build reads.
(cd "$root" && git ls-files -co --exclude-standard CMakeLists.txt LICENSE base encoder tests/CMakeLists.txt tests/bench \
    tests/gpu tests/golden/embed tests/golden/score tests/golden/tokenizer tests/unit/base tests/unit/encoder \
    indexer/quantise.c indexer/quantise.h indexer/kernels.h storage/types.h deploy/lib.sh 'deploy/cuda-toolkit*' |
    sort -u | tar -cf - -T -) | tar -xf - -C "$bundle"
for program in lode-encode-bench lode-scan-bench liblode_cuda.so; do
    [ -e "$here/$program" ] && cp "$here/$program" "$bundle/bin/"
done
cp "$here"/test_cuda_*_device "$bundle/bin/"
strip --strip-debug "$bundle"/bin/*
# The libraries of those programs that a bare machine may lack; for a build there also headers and names to link by.
for name in cjson cmocka; do
    file=$(ldd "$here/lode-encode-bench" "$bundle"/bin/test_cuda_*_device | awk -v n="lib$name.so" '$1 ~ "^" n { print $3; exit }')
    [ -n "$file" ] || die "no program links lib$name"
    cp -L "$file" "$bundle/lib/"
    ln -s "$(basename "$file")" "$bundle/lib/lib$name.so"
done
cjson=$(sed -n 's/^CJSON_INCLUDE:PATH=//p' "$here/CMakeCache.txt")
cmocka=$(sed -n 's/^CMOCKA_INCLUDE:PATH=//p' "$here/CMakeCache.txt")
cp "$cjson"/cjson/*.h "$bundle/include/cjson/"
cp "$cmocka"/cmocka*.h "$bundle/include/"
run_logged bundle-model "the weights could not be converted" \
    python3 "$root/deploy/dev/to_f16.py" "$model_dir" "$bundle/models/all-MiniLM-L6-v2"
cat >"$bundle/README.md" <<'R'
# lode's GPU run

On the GPU machine, in this folder (each step is within ten minutes; results also go to `build/gpu-work/results.txt`):

    bash tests/gpu/run.sh build     # uses bin/ where it runs, else builds here: gcc, CMake, ninja and CUDA 12.9 or later
    bash tests/gpu/run.sh ops       # kernels against plain C; compute-sanitizer
    bash tests/gpu/run.sh models    # cosines to sentence-transformers
    bash tests/gpu/run.sh speed     # rates and latency
    bash tests/gpu/run.sh peers     # beside sentence-transformers
    bash tests/gpu/run.sh search    # exact search
    bash tests/gpu/run.sh soak      # five minutes of mixed load

Or all of them: `bash tests/gpu/run.sh` (some 20 minutes). `tests/gpu/README.md` says what each must show.
R
check_size
