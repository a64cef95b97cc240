#!/usr/bin/env python3
"""compare.py --rows N [--reps R] [--match REGEX] [--no-peers] [--markdown FILE]

Runs restorekit, the floors and the peers round-robin within each workload (A B C A B C ..), as whole processes, checks
every result against the truth, and prints medians of wall seconds, CPU seconds and peak memory with the ratios of that
run. The exit code is 1 when a result of restorekit's is wrong; a target that is missed is said, and is no failure."""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

YARDSTICK = os.environ["YARDSTICK"]
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), YARDSTICK]
import cases as yardstick  # noqa: E402
import workloads  # noqa: E402

WORK = os.environ["WORK"]
MEMORY = 150  # MiB that no run of restorekit may pass


class Taken:
    """What one run took."""

    def __init__(self, wall, cpu, memory, code, words):
        self.wall, self.cpu, self.memory, self.code, self.words = wall, cpu, memory, code, words


def shell(command, out):
    """Runs what is not timed; its output, or the error's last line."""
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command.replace('$OUT', out)}"], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip() if done.returncode == 0 else f"WRONG {done.stderr.strip()[-160:]}"


def once(run, out):
    """One timed run, its preparation before it."""
    for leftover in (out, out + ".json"):
        if os.path.exists(leftover):
            os.remove(leftover)
    if run.before:
        shell(run.before, out)
    command = run.command.replace("$OUT", out)
    words = ["bash", "-c", f"set -o pipefail; {command}"] if re.search(r"[$&;|<>'\"]|^my ", command) else command.split()
    start = time.monotonic()
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    if run.own_clock and child.returncode == 0:
        with open(out, encoding="utf-8") as file:
            wall, cpu = map(float, file.read().split())
    return Taken(wall, cpu, usage.ru_maxrss / 1024, child.returncode, said)


def verdict(run, rows, engine, out):
    """What is to be said of a run's result; it begins with `ok` when it is right."""
    said = ""
    if run.verify:
        said = shell(run.verify, out)
    if run.after:
        said = shell(run.after, out) or said
    if run.check:
        words = [f"{WORK}/venv/bin/python", f"{YARDSTICK}/check.py", run.check, str(rows), engine, out]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        said = done.stdout.strip() or "WRONG " + done.stderr.strip()[-160:]
    return said


def measure(group, reps, rows, scratch):
    """Runs a workload's programs in turn; what each took, and the verdicts."""
    runs = group.runs + list({floor.name: floor for floor in group.floors}.values())
    taken, verdicts = {run.name: [] for run in runs}, {}
    for rep in range(reps * group.reps):
        for run in runs:
            out = f"{scratch}/{re.sub('[^a-z0-9]+', '_', (group.name + ' ' + run.name).lower())}"
            took = once(run, out)
            taken[run.name].append(took)
            said = verdict(run, rows, group.engine, out) if rep == 0 or run.after else ""
            if rep == 0:
                verdicts[run.name] = said
            if took.code not in (0, 1):
                verdicts[run.name] = f"WRONG exit {took.code} {took.words.decode(errors='replace').strip()[-160:]}"
            if run.check in ("restore", "patch"):
                words = [f"{WORK}/venv/bin/python", f"{YARDSTICK}/check.py", f"undo_{run.check}", str(rows), group.engine, out]
                undone = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
                if undone.returncode != 0:
                    sys.exit(f"error: {run.name}'s writes of {group.name} could not be taken back: {undone.stdout}{undone.stderr}")
    return taken, verdicts


def median(taken, figure):
    return statistics.median(getattr(took, figure) for took in taken)


def reached(group, taken, verdicts, floor):
    """The target in words, and whether it is reached; `None` when nothing was there to be measured by."""
    by, most = group.target
    mine = median(taken["restorekit"], "wall")
    if by == "floor":
        return mine <= most * floor, f"at most {most} x floor"
    if by == "MB/s":
        speed = group.size() / 1e6 / median(taken["restorekit"], "cpu")
        return speed >= most, f"at least {most} MB of dump text a second and core; here {speed:.0f}"
    if by == "s":
        return mine <= most, f"at most {most * 1000:.0f} ms"
    peers = {run.name: median(taken[run.name], "wall") for run in group.runs[1:] if verdicts[run.name].startswith("ok")}
    if not peers:
        return None, "faster than the peers"
    fastest = min(peers, key=peers.get)
    return mine < most * peers[fastest], f"faster than {fastest}"


def table(group, taken, verdicts):
    """The workload's table in Markdown."""
    floor = sum(median(taken[run.name], "wall") for run in group.floors)
    good, target = reached(group, taken, verdicts, floor)
    word = {True: "reached", False: "MISSED", None: "not measured"}[good]
    said = f"floor {floor:.2f} s; target: {target}" if group.floors else f"target: {target}"
    over = f"; MISSED: at most {MEMORY} MiB" if median(taken["restorekit"], "memory") > MEMORY else ""
    yield f"\n**{group.name}** ({said}: {word}{over})\n"
    yield "| | wall s (least) | x floor | CPU s | peak MiB | result |\n|---|---|---|---|---|---|"
    for run in group.runs + list({floor.name: floor for floor in group.floors}.values()):
        wall, least = median(taken[run.name], "wall"), min(took.wall for took in taken[run.name])
        ratio = f"{wall / floor:.2f}" if floor else ""
        cpu, memory = median(taken[run.name], "cpu"), median(taken[run.name], "memory")
        digits = 3 if wall < 0.1 else 2
        words = verdicts.get(run.name, "")[:110].replace("|", "/").replace("\n", " ")
        yield f"| {run.name} | {wall:.{digits}f} ({least:.{digits}f}) | {ratio} | {cpu:.{digits}f} | {memory:.0f} | {words} |"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--reps", type=int, default=5)
    options.add_argument("--match", default="")
    options.add_argument("--no-peers", action="store_true")
    options.add_argument("--markdown")
    o = options.parse_args()
    lines, wrong = [], []
    with tempfile.TemporaryDirectory(prefix="compare-", dir=WORK) as scratch:
        os.environ["XDG_STATE_HOME"] = f"{scratch}/state"
        os.environ["XDG_CACHE_HOME"] = f"{scratch}/cache"
        for group in workloads.groups(o.rows, yardstick.cases(o.rows), not o.no_peers):
            if not re.search(o.match, group.name):
                continue
            taken, verdicts = measure(group, o.reps, o.rows, scratch)
            lines += table(group, taken, verdicts)
            print("\n".join(lines[-1 - len(taken) - 1:]), flush=True)
            if verdicts["restorekit"].startswith("WRONG"):
                wrong.append(group.name)
    if o.markdown:
        with open(o.markdown, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    if wrong:
        sys.exit(f"error: restorekit's result is wrong: {', '.join(wrong)}")


main()
