# What .ci/run and .ci/long have in common: the project's environment, stages with their times, and the summary at the end.
# It is sourced, by bash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Real log samples lie beside the repository where CI runs; without them the tests that need them are skipped, loudly.
samples="$(dirname "$PWD")/shared/data"
if [[ -d $samples ]]; then
    export LAKEHOUSE_TEST_DATA="$samples"
fi
export LAKEHOUSE_CACHE="${LAKEHOUSE_CACHE:-$HOME/.cache/lakehouse}"
export PATH="$PATH:/usr/sbin:/sbin"

report=()
running=

stage() { # stage NAME COMMAND...: run it and remember how long it took
    running=$1
    shift
    local start=$SECONDS
    printf '\n=== %s (%s free on the disk)\n' "$running" "$(df --human-readable --output=avail . | tail -1 | tr -d ' ')"
    "$@"
    report+=("$(printf '%5d s  %s' $((SECONDS - start)) "$running")")
    running=
}

debian_packages() { # debian_packages COMMAND=PACKAGE...: install the packages whose command is missing
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    if ((${#missing[@]} == 0)); then
        echo "nothing is missing"
        return
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

cache() { # cache NAME FOLDER: say whether it was there when the run began
    if [[ -n $2 && -n $(ls -A "$2" 2>/dev/null) ]]; then
        report+=("   used  cache of $1: $2")
    else
        report+=("  empty  cache of $1: ${2:-none}")
    fi
}

finish() {
    local code=$?
    printf '\n=== caches and stages\n'
    printf '%s\n' "${report[@]}"
    if ((code != 0)); then
        printf ' FAILED  %s (exit code %d)\n' "${running:-before the first stage}" "$code"
    fi
    printf '%5d s  in all\n' "$SECONDS"
    exit "$code"
}
trap finish EXIT

cache "Go programs" "$LAKEHOUSE_CACHE/programs"
cache "container images" "$LAKEHOUSE_CACHE/images"
cache "Python packages" "$(python3 -m pip cache dir 2>/dev/null || true)"
cache "Rust packages" "${CARGO_HOME:-$HOME/.cargo}/registry"
cache "Go builds" "$(go env GOCACHE 2>/dev/null || true)"
