#!/usr/bin/env bash
# Installs what the tests need and is missing, then runs everything: formatting, lints, documentation, tests.
#   tests/run.sh            the whole suite
#   tests/run.sh FILTER..   only the tests whose names match, without the lints
#   tests/run.sh --fuzz [SECONDS] [TARGET..]   every reader of backups against damaged and hostile input, a minute each
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*" >&2; }

need() { # need COMMAND PACKAGE: installs a Debian package where the command is missing
    command -v "$1" >/dev/null 2>&1 && return
    command -v apt-get >/dev/null 2>&1 || { echo "error: $1 is missing; install it" >&2; exit 2; }
    local root=""
    [ "$(id -u)" -eq 0 ] || root=sudo
    say "installing $2"
    $root apt-get install -y -q "$2" >&2 || { $root apt-get update -q >&2 && $root apt-get install -y -q "$2" >&2; }
}

need cc build-essential
need sqlite3 sqlite3
need script bsdutils
need openssl openssl
need faketime faketime
need xz xz-utils
need python3 python3
need mariadb-install-db mariadb-server
need pg_ctlcluster postgresql
command -v cargo >/dev/null 2>&1 || { echo "error: cargo is missing; install Rust from https://rustup.rs" >&2; exit 2; }
if [ "${1:-}" = --fuzz ]; then
    shift
    exec tests/fuzz.sh "$@"
fi
if [ ! -x target/tools/bin/s3s-fs ]; then
    say "installing s3s-fs, an S3-compatible server"
    cargo install s3s-fs --version 0.14.1 --features binary --locked --quiet --root target/tools
fi
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

if [ "$#" -gt 0 ]; then
    exec cargo test --locked -- "$@"
fi

say "formatting"
cargo fmt --check
cargo fmt --check --manifest-path fuzz/Cargo.toml
say "lints"
cargo clippy --locked --all-targets -- -D warnings
say "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib --quiet
say "tests"
cargo test --locked --no-fail-fast
