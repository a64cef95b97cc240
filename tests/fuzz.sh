#!/usr/bin/env bash
# Builds the fuzz targets, makes their seeds of the fixtures, and runs each for a while.
#   tests/fuzz.sh [SECONDS] [TARGET..]     a minute each, every target
# What ends a target stands in fuzz/artifacts/TARGET; fuzz/target/release/TARGET FILE runs it again.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${1:-60}"
shift || true
[ "$#" -gt 0 ] || set -- $(cd fuzz/fuzz_targets && ls -- *.rs | sed 's/\.rs$//')

say() { printf '\n== %s\n' "$*" >&2; }

say "building the fuzz targets"
(cd fuzz && RUSTC_WRAPPER="$PWD/rustc.sh" cargo build --release --locked --quiet)

# Files of inputs come and go by the thousand: in memory, where there is a place for that.
place="${TMPDIR:-/tmp}"
[ ! -w /dev/shm ] || place=/dev/shm
TMPDIR="$(mktemp -d -p "$place" restorekit-fuzz.XXXXXX)"
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

fuzz/target/release/seeds fixtures fuzz/corpus
failed=()
for target in "$@"; do
    say "$target"
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log="$TMPDIR/$target.log"
    if fuzz/target/release/"$target" "fuzz/corpus/$target" -max_total_time="$seconds" -dict=fuzz/words.dict \
        -timeout=20 -rss_limit_mb=4096 -max_len=65536 -artifact_prefix="fuzz/artifacts/$target/" \
        -print_final_stats=1 >"$log" 2>&1; then
        grep -E '^stat::number_of_executed_units|^Done' "$log"
    else
        grep -vE '^#|^\*|NEW_FUNC' "$log" | tail -n 40
        failed+=("$target")
    fi
    find "$TMPDIR" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
done
[ "${#failed[@]}" -eq 0 ] || { echo "error: ${failed[*]} failed; see fuzz/artifacts" >&2; exit 1; }
