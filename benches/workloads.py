"""What restorekit is timed at: each workload's command line, its floor, its peers and its target.

A command may name `$OUT`, a scratch file of the run. What only prepares a run or turns a result into the form that
the yardstick checks stands in `before` and `after`, which are not timed."""
import os

WORK, TOOL, PY = os.environ["WORK"], os.environ["RESTOREKIT"], os.environ["PY"]
HERE = os.path.dirname(os.path.abspath(__file__))
PREDICATE = "active = false and cancelled_at >= '2026-03-10 00:00:00' and cancelled_at < '2026-03-11 00:00:00'"
# The floors by the names of the yardstick's cases: bare scans of what a workload must read.
IDS, ALL, BOTH = "sqlite live: ids", "sqlite live: scan all columns", "sqlite live+backup: scan all columns, serial"
PARQUET_IDS, PARQUET_ALL = "parquet backup: duckdb 2.0 scan ids", "parquet backup: duckdb 2.0 scan all columns"
VARIANTS, PARQUET_VARIANTS = "sqlite live sv: predicate", "parquet backup sv: duckdb 2.0 id, updated_at"
FLOORS = {
    "sqlite/parquet missing": (IDS, PARQUET_IDS),
    "sqlite/parquet diff": (ALL, PARQUET_ALL),
    "sqlite/parquet restore": (IDS, PARQUET_IDS),
    "sqlite/parquet patch": (VARIANTS, PARQUET_VARIANTS),
    "sqlite/sqlite missing": (IDS, IDS),
    "sqlite/sqlite diff": (BOTH,),
    "sqlite/sqlite restore": (IDS, IDS),
    "sqlite/sqlite patch": (VARIANTS, VARIANTS),
    "sqlite snapshot": (ALL,),
    "sqlite gaps": (IDS,),
}
PEERS = ("duckdb 1.5.5", "connectorx", "sqldiff", "sqlite3", "SQL window")


class Run:
    """One program at one workload. `check` is what the yardstick verifies of it, `own_clock` that it times itself:
    it prints the seconds of wall and of CPU that count."""

    def __init__(self, name, command, check=None, before="", after="", verify="", own_clock=False):
        self.name, self.command, self.check = name, command, check
        self.before, self.after, self.verify, self.own_clock = before, after, verify, own_clock


class Group:
    """A workload: restorekit's run first, the peers', the floors', and what restorekit is to reach.

    `target` is (the figure it is measured by, the most it may be): "floor" times the sum of the floors' seconds, "peer"
    times the fastest peer whose result is right, "s" seconds."""

    def __init__(self, name, runs, floors, target, reps=1):
        self.name, self.runs, self.floors, self.target, self.reps = name, runs, floors, target, reps


TARGETS = {
    "missing": ("floor", 1.2),
    "diff": ("floor", 0.8),
    "restore": ("peer", 1.0),
    "patch": ("peer", 1.0),
    "snapshot": ("floor", 1.5),
    "gaps": ("floor", 1.2),
}


def ours(rows):
    """restorekit's runs at the yardstick's workloads, by group."""
    data = f"{WORK}/data/{rows}"
    quiet, live = "-q --no-progress", f"--live {data}/live.sqlite"
    runs = {}
    for kind, events, variants in (
        ("sqlite/parquet", f"{data}/backup/events.parquet", f"{data}/backup/subscription_variants.parquet"),
        ("sqlite/sqlite", f"{data}/backup.sqlite", f"{data}/backup.sqlite"),
    ):
        sides = f"{quiet} {live} --backup {events}"
        agreed = "--yes --expect-target live.sqlite"
        query = "select id from diff('events') where change = 'missing'"
        runs[f"{kind} missing"] = Run("restorekit", f'{TOOL} sql {sides} --format csv "{query}" >$OUT', "missing")
        pick = "t = json.load(open('$OUT.json'))['tables'][0]; print(t['missing'], t['extra'], t['changed'])"
        runs[f"{kind} diff"] = Run(
            "restorekit",
            f"{TOOL} diff {sides} --table events --format json >$OUT.json",
            "diff",
            after=f'{PY} -c "import json; {pick}" >$OUT',
        )
        runs[f"{kind} restore"] = Run("restorekit", f"{TOOL} restore {sides} --table events {agreed} >$OUT", "restore")
        runs[f"{kind} patch"] = Run(
            "restorekit",
            f"{TOOL} patch {quiet} {live} --backup {variants} --table subscription_variants --column cancelled_at "
            f'--from updated_at --where "{PREDICATE}" {agreed} >$OUT',
            "patch",
        )
    runs["sqlite snapshot"] = Run(
        "restorekit",
        f"{TOOL} snapshot {quiet} {live} --table events --out $OUT.d >$OUT.said",
        "snapshot",
        before="rm -rf $OUT.d",
        after="mv $OUT.d/*/parquet/events.parquet $OUT; rm -rf $OUT.d",
    )
    # The gap report of one database: the backup has the table, and fills nothing.
    empty = f"{data}/empty.sqlite"
    pick = "g = json.load(open('$OUT.json')); print(len(g['runs']), g['missing'])"
    runs["sqlite gaps"] = Run(
        "restorekit",
        f"{TOOL} gaps {quiet} {live} --backup {empty} --table events --format json >$OUT.json",
        "gaps",
        before=f"[ -f {empty} ] || sqlite3 {empty} 'create table events(id integer primary key, title text)'",
        after=f'{PY} -c "import json; {pick}" >$OUT',
    )
    return runs


def story_c(rows):
    """All but 5,000 rows of nine tenths of the table are gone, as in the overwritten research database; the backup is
    what the research scripts left (gzip Parquet, by pandas), or the database itself. The floor inserts the rows through
    one prepared statement in one transaction, from memory."""
    data = f"{WORK}/data/{rows}/story-c"
    live, backup = f"{data}/live.sqlite", f"{data}/backup.sqlite"
    before, same = f"cp {live} $OUT.sqlite", (
        f"sqlite3 $OUT.sqlite \"attach '{backup}' as b; select case when (select count(*) from events) = "
        "(select count(*) from b.events) and not exists (select * from events except select * from b.events) "
        "and not exists (select * from b.events except select * from events) then 'ok, every row equal' else 'WRONG' end\""
    )

    def restore(location):
        said = f"-q --no-progress --live $OUT.sqlite --backup {location} --table events"
        command = f"{TOOL} restore {said} --yes --expect-target $(basename $OUT.sqlite) >$OUT"
        return Run("restorekit", command, before=before, after="rm -f $OUT.sqlite", verify=same)

    floor = Run("raw prepared INSERT", f"{WORK}/insert $OUT.sqlite {backup} events >$OUT", before=before,
                after="rm -f $OUT.sqlite", verify=same, own_clock=True)
    copy = f"attach '{backup}' as b; insert into events select * from b.events x where not exists " \
           "(select 1 from main.events l where l.id = x.id)"
    shell = Run("sqlite3 ATTACH + INSERT", f'sqlite3 $OUT.sqlite "{copy}"', before=before, after="rm -f $OUT.sqlite", verify=same)
    for name, location, peers in (
        ("sqlite/parquet restore, story C", f"{data}/backups", []),
        ("sqlite/sqlite restore, story C", backup, [shell]),
    ):
        yield Group(name, [restore(location), *peers], [floor], ("floor", 3.0))


def start_up():
    """How long a person waits for nothing."""
    for flag in ("--version", "--help"):
        yield Group(f"start-up {flag}", [Run("restorekit", f"{TOOL} {flag}")], [], ("s", 0.02), reps=7)


def groups(rows, cases, peers=True):
    """All workloads; `cases` are the yardstick's."""
    floors = {c["peer"]: Run(f"floor {c['peer']}", c["cmd"]) for c in cases if c["group"] == "floor"}
    for name, run in ours(rows).items():
        theirs = [c for c in cases if peers and c["group"] == name and c["peer"].startswith(PEERS)]
        theirs = [Run(c["peer"], c["cmd"], c["check"]) for c in theirs]
        yield Group(name, [run, *theirs], [floors[floor] for floor in FLOORS[name]], TARGETS[name.split()[1]])
    yield from story_c(rows)
    yield from start_up()
