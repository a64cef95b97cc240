#!/usr/bin/env bash
# restorekit beside the floors and its peers, as ratios from one run.
#   benches/run.sh [ROWS] [servers] [-- options of compare.py]
# On SQLite; with "servers" on PostgreSQL and MariaDB, which are started for it.
set -euo pipefail
cd "$(dirname "$0")/.."
rows="${1:-1000000}"; shift || true
servers=""
if [ "${1:-}" = "servers" ]; then servers=1; shift; fi
[ "${1:-}" != "--" ] || shift
yardstick="$(realpath "${RESTOREKIT_YARDSTICK:-../shared/bench}")"
[ -f "$yardstick/gen.py" ] || { echo "error: no yardstick in $yardstick; name it with RESTOREKIT_YARDSTICK" >&2; exit 2; }
. "$yardstick/env.sh"
mkdir -p "$WORK"
if [ ! -x "$WORK/venv/bin/python" ] || [ ! -x "$WORK/venv15/bin/python" ]; then "$yardstick/install.sh"; fi
data="$WORK/data/$rows"
[ -f "$data/truth/truth.json" ] || "$PY" "$yardstick/gen.py" --rows "$rows"
if [ -n "$servers" ]; then
    export SERVERS=1
    "$yardstick/servers.sh" start
    trap '"$yardstick/servers.sh" stop' EXIT
    if [ ! -f "$data/servers" ]; then
        "$PY" "$yardstick/load.py" --rows "$rows" --only pg,my,files
        for engine in pg my; do "$PY" "$yardstick/check.py" save "$rows" "$engine" -; done
        for side in backup live; do psql -q -d "${side}_$rows" -c 'create extension if not exists pgcmp'; done
        touch "$data/servers"
    fi
else
    if [ ! -f "$data/live.sqlite" ]; then
        "$PY" "$yardstick/load.py" --rows "$rows" --only sqlite
        "$PY" "$yardstick/check.py" save "$rows" sqlite -
    fi
    [ -d "$data/story-c" ] || "$PY" benches/story_c.py --rows "$rows"
    if [ ! -x "$WORK/insert" ] || [ benches/insert.c -nt "$WORK/insert" ]; then # with restorekit's own SQLite
        amalgamation="$(cargo metadata --format-version 1 --locked | "$PY" -c 'import json, os, sys
packages = json.load(sys.stdin)["packages"]
print(os.path.dirname(next(p["manifest_path"] for p in packages if p["name"] == "libsqlite3-sys")) + "/sqlite3")')"
        cc -O2 -I "$amalgamation" -o "$WORK/insert" benches/insert.c "$amalgamation/sqlite3.c" -lpthread -ldl -lm
    fi
fi
if [ -z "${RESTOREKIT:-}" ]; then
    cargo build --release --locked --quiet
    RESTOREKIT="$PWD/target/release/restorekit"
fi
export RESTOREKIT YARDSTICK="$yardstick"
"$PY" benches/compare.py --rows "$rows" "$@"
