#!/usr/bin/env bash
# restorekit beside the floors and its peers on SQLite, as ratios from one run.
#   benches/run.sh [ROWS] [-- options of compare.py]
set -euo pipefail
cd "$(dirname "$0")/.."
rows="${1:-1000000}"; shift || true
[ "${1:-}" != "--" ] || shift
yardstick="$(realpath "${RESTOREKIT_YARDSTICK:-../shared/bench}")"
[ -f "$yardstick/gen.py" ] || { echo "error: no yardstick in $yardstick; name it with RESTOREKIT_YARDSTICK" >&2; exit 2; }
. "$yardstick/env.sh"
mkdir -p "$WORK"
if [ ! -x "$WORK/venv/bin/python" ] || [ ! -x "$WORK/venv15/bin/python" ]; then "$yardstick/install.sh"; fi
data="$WORK/data/$rows"
[ -f "$data/truth/truth.json" ] || "$PY" "$yardstick/gen.py" --rows "$rows"
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
cargo build --release --locked --quiet
RESTOREKIT="$PWD/target/release/restorekit" YARDSTICK="$yardstick" exec "$PY" benches/compare.py --rows "$rows" "$@"
