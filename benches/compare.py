#!/usr/bin/env python3
"""compare.py --rows N [--reps R] [--match REGEX] [--markdown FILE]

Runs restorekit, the floors and the peers round-robin within each workload (A B C A B C ..), as whole processes, and
prints medians of wall seconds, CPU seconds and peak memory with the ratio to the floor of the same run."""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

YARDSTICK = os.environ["YARDSTICK"]
sys.path.insert(0, YARDSTICK)
import cases as yardstick  # noqa: E402

WORK, TOOL, PY = os.environ["WORK"], os.environ["RESTOREKIT"], os.environ["PY"]
PREDICATE = (
    "active = false and cancelled_at >= '2026-03-10 00:00:00' and cancelled_at < '2026-03-11 00:00:00'"
)


def ours(rows):
    """restorekit's command lines: (group, command, what check.py checks)."""
    data = f"{WORK}/data/{rows}"
    live = f"--live {data}/live.sqlite"
    quiet = "-q --no-progress"
    for kind, events, variants in (
        ("sqlite/parquet", f"{data}/backup/events.parquet", f"{data}/backup/subscription_variants.parquet"),
        ("sqlite/sqlite", f"{data}/backup.sqlite", f"{data}/backup.sqlite"),
    ):
        diff = f"{TOOL} diff {quiet} {live} --backup {events} --table events"
        yield f"{kind} missing", f"{diff} --columns id --format ndjson | grep '\"missing\"' | grep -oE '\"id\":[0-9]+' >$OUT", "missing"
        yield f"{kind} diff", (
            f"{diff} --format json >$OUT.json; {PY} -c \"import json; t = json.load(open('$OUT.json'))['tables'][0]; "
            "print(t['missing'], t['extra'], t['changed'])\" >$OUT"
        ), "diff"
        target = f"--yes --expect-target live.sqlite"
        yield f"{kind} restore", f"{TOOL} restore {quiet} {live} --backup {events} --table events {target} >$OUT", "restore"
        yield f"{kind} patch", (
            f"{TOOL} patch {quiet} {live} --backup {variants} --table subscription_variants --column cancelled_at "
            f"--from updated_at --where \"{PREDICATE}\" {target} >$OUT"
        ), "patch"
    yield "sqlite snapshot", (
        f"rm -rf $OUT.d; {TOOL} snapshot {quiet} {live} --table events --out $OUT.d >$OUT.log; "
        "cp $OUT.d/*/parquet/events.parquet $OUT"
    ), "snapshot"
    yield "sqlite gaps", (
        f"{TOOL} gaps {quiet} {live} --backup {data}/live.sqlite.copy --table events --format json >$OUT.json; "
        f"{PY} -c \"import json; g = json.load(open('$OUT.json')); print(len(g['runs']), g['missing'])\" >$OUT"
    ), "gaps"


FLOORS = {  # what each workload must at least read, as cases of the yardstick's floor group
    "sqlite/parquet missing": ("sqlite live: ids", "parquet backup: duckdb 2.0 scan ids"),
    "sqlite/parquet restore": ("sqlite live: ids", "parquet backup: duckdb 2.0 scan ids"),
    "sqlite/parquet diff": ("sqlite live: scan all columns", "parquet backup: duckdb 2.0 scan all columns"),
    "sqlite/parquet patch": ("sqlite live sv: predicate", "parquet backup sv: duckdb 2.0 id, updated_at"),
    "sqlite/sqlite missing": ("sqlite live: ids", "sqlite live: ids"),
    "sqlite/sqlite restore": ("sqlite live: ids", "sqlite live: ids"),
    "sqlite/sqlite diff": ("sqlite live+backup: scan all columns, serial",),
    "sqlite/sqlite patch": ("sqlite live sv: predicate", "sqlite live sv: predicate"),
    "sqlite snapshot": ("sqlite live: scan all columns",),
    "sqlite gaps": ("sqlite live: ids",),
}
PEERS = ("duckdb 1.5.5", "sqldiff", "sqlite3", "SQL window")


def once(command, out):
    """Wall and CPU seconds, the largest process's peak memory in MiB, the exit code."""
    for leftover in (out, out + ".log", out + ".json"):
        if os.path.exists(leftover):
            os.remove(leftover)
    start = time.monotonic()
    shell = f". {YARDSTICK}/env.sh; set -o pipefail; {command.replace('$OUT', out)}"
    child = subprocess.Popen(["bash", "-c", shell], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    words = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    wall = time.monotonic() - start
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status), words


def checked(kind, backend, rows, out):
    run = [f"{WORK}/venv/bin/python", f"{YARDSTICK}/check.py", kind, str(rows), backend, out]
    done = subprocess.run(run, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stdout.strip() or "WRONG " + done.stderr.strip()[-200:])[:120]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--reps", type=int, default=5)
    options.add_argument("--match", default="")
    options.add_argument("--markdown")
    o = options.parse_args()
    every = yardstick.cases(o.rows)
    floors = {c["peer"]: c["cmd"] for c in every if c["group"] == "floor"}
    scratch = tempfile.mkdtemp(prefix="compare-", dir=WORK)
    os.environ["XDG_STATE_HOME"] = f"{scratch}/state"
    copy = f"{WORK}/data/{o.rows}/live.sqlite.copy"
    if not os.path.exists(copy):  # gaps against a backup that fills nothing
        subprocess.run(["sqlite3", copy, "create table events(id integer primary key, title text)"], check=True)
    lines = []
    for group, command, kind in ours(o.rows):
        if not re.search(o.match, group):
            continue
        peers = [c for c in every if c["group"] == group and c["peer"].startswith(PEERS)]
        runs = [("restorekit", command, kind)]
        runs += [(c["peer"], c["cmd"], c["check"]) for c in peers]
        runs += [(f"floor {name}", floors[name], None) for name in dict.fromkeys(FLOORS[group])]
        taken = {name: [] for name, _, _ in runs}
        verdicts = {}
        for rep in range(o.reps):
            for name, command, kind in runs:
                out = f"{scratch}/{re.sub('[^a-z0-9]+', '_', (group + ' ' + name).lower())}"
                run = once(command, out)
                taken[name].append(run)
                if kind and rep == 0:
                    verdicts[name] = checked(kind, "sqlite", o.rows, out)
                    if run[3] not in (0, 1):
                        verdicts[name] = f"exit {run[3]} " + run[4].decode(errors="replace").strip()[-160:]
                if kind in ("restore", "patch"):
                    checked("undo_" + kind, "sqlite", o.rows, out)
        median = {n: [statistics.median(r[i] for r in rs) for i in range(3)] for n, rs in taken.items()}
        floor = sum(median[f"floor {name}"][0] for name in FLOORS[group])
        lines += [f"\n**{group}** (floor {floor:.2f} s)\n", "| | wall s | x floor | CPU s | peak MiB | result |", "|---|---|---|---|---|---|"]
        for name, _, kind in runs:
            if kind:
                wall, cpu, memory = median[name]
                lines.append(f"| {name} | {wall:.2f} | {wall / floor:.2f} | {cpu:.2f} | {memory:.0f} | {verdicts[name]} |")
        print("\n".join(lines[-(len(peers) + 4):]), flush=True)
    if o.markdown:
        with open(o.markdown, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


main()
