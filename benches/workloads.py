"""What restorekit is timed at: each workload's command line, its floor, its peers and its target.

A command may name `$OUT`, a scratch file of the run. What only prepares a run or turns a result into the form that
the yardstick checks stands in `before` and `after`, which are not timed."""
import functools
import os

WORK, TOOL, PY = os.environ["WORK"], os.environ["RESTOREKIT"], os.environ["PY"]
HERE = os.path.dirname(os.path.abspath(__file__))
EVENTS = ("id", "calendar_id", "title", "description", "i_cal_uid", "starts_at", "ends_at", "price", "payload", "created_at",
          "updated_at")
PREDICATE = "active = false and cancelled_at >= '2026-03-10 00:00:00' and cancelled_at < '2026-03-11 00:00:00'"
# The floors by the names of the yardstick's cases: bare scans of what a workload must read. SERVERS set: the servers
# are measured, else the files.
IDS, ALL, BOTH = "sqlite live: ids", "sqlite live: scan all columns", "sqlite live+backup: scan all columns, serial"
PARQUET_IDS, PARQUET_ALL = "parquet backup: duckdb 2.0 scan ids", "parquet backup: duckdb 2.0 scan all columns"
VARIANTS, PARQUET_VARIANTS = "sqlite live sv: predicate", "parquet backup sv: duckdb 2.0 id, updated_at"
PEERS = ("duckdb 1.5.5", "connectorx", "sqldiff", "sqlite3", "SQL", "psql", "pg_comparator", "pt-table-sync")
PGPORT, MYPORT = os.environ.get("PGPORT", "57432"), os.environ.get("MYPORT", "57306")


class Engine:
    """An engine of the yardstick: where its databases are, and its floors (ids, all columns, both sides, variants)."""

    def __init__(self, name, live, backup, floors):
        self.name, self.live, self.backup, self.target = name, live, backup, live.rsplit("/", 1)[-1]
        self.ids, self.all, self.both, self.variants = floors


def engines(rows):
    """Those that were asked for: the files, or the servers."""
    if not os.environ.get("SERVERS"):
        data = f"{WORK}/data/{rows}"
        return [Engine("sqlite", f"{data}/live.sqlite", f"{data}/backup.sqlite", (IDS, ALL, BOTH, VARIANTS))]
    pg, my = (f"postgres://bench@127.0.0.1:{PGPORT}", f"mysql://bench:bench@127.0.0.1:{MYPORT}")
    return [
        Engine("pg", f"{pg}/live_{rows}", f"{pg}/backup_{rows}", (
            "pg live: COPY binary ids", "pg live: COPY binary all", "pg live+backup: COPY binary all, serial",
            "pg live sv: COPY binary predicate")),
        Engine("my", f"{my}/live_{rows}", f"{my}/backup_{rows}", (
            "my live: ids --quick", "my live: select * --quick", "my live+backup: select *, serial", "my live sv: predicate")),
    ]


class Run:
    """One program at one workload. `check` is what the yardstick verifies of it, `own_clock` that it times itself:
    it prints the seconds of wall and of CPU that count."""

    def __init__(self, name, command, check=None, before="", after="", verify="", own_clock=False):
        self.name, self.command, self.check = name, command, check
        self.before, self.after, self.verify, self.own_clock = before, after, verify, own_clock


class Group:
    """A workload: restorekit's run first, the peers', the floors', and what restorekit is to reach.

    `target` is (the figure it is measured by, the most it may be): "floor" times the sum of the floors' seconds, "peer"
    times the fastest peer whose result is right, "s" seconds; "MB/s" is the least, of the text whose size `size` gives, in a
    second of CPU."""

    def __init__(self, name, runs, floors, target, reps=1, engine="sqlite", size=None):
        self.name, self.runs, self.floors, self.target, self.reps, self.engine = name, runs, floors, target, reps, engine
        self.size = size


TARGETS = {
    "missing": ("floor", 1.2),
    "diff": ("floor", 0.8),
    "restore": ("peer", 1.0),
    "patch": ("peer", 1.0),
    "snapshot": ("floor", 1.5),
    "gaps": ("floor", 1.2),
}


def compared(rows, engine):
    """restorekit's runs at one engine, with Parquet and with the same engine as backups: by group, with their floors."""
    data = f"{WORK}/data/{rows}/backup"
    quiet, live = "-q --no-progress", f"--live {engine.live}"
    agreed = f"--yes --expect-target {engine.target}"
    parquet = (f"{data}/events.parquet", f"{data}/subscription_variants.parquet", PARQUET_IDS, PARQUET_ALL, PARQUET_VARIANTS)
    itself = (engine.backup, engine.backup, engine.ids, None, engine.variants)
    for kind, (events, variants, ids, all_columns, both_columns) in (("parquet", parquet), (engine.name, itself)):
        name, sides = f"{engine.name}/{kind}", f"{quiet} {live} --backup {events}"
        query = "select id from diff('events') where change = 'missing'"
        yield f"{name} missing", (engine.ids, ids), Run(
            "restorekit", f'{TOOL} sql {sides} --table events --format csv "{query}" >$OUT', "missing")
        pick = "t = json.load(open('$OUT.json'))['tables'][0]; print(t['missing'], t['extra'], t['changed'])"
        yield f"{name} diff", (engine.all, all_columns) if all_columns else (engine.both,), Run(
            "restorekit",
            f"{TOOL} diff {sides} --table events --format json >$OUT.json",
            "diff",
            after=f'{PY} -c "import json; {pick}" >$OUT',
        )
        yield f"{name} restore", (engine.ids, ids), Run(
            "restorekit", f"{TOOL} restore {sides} --table events {agreed} >$OUT", "restore")
        yield f"{name} patch", (engine.variants, both_columns), Run(
            "restorekit",
            f"{TOOL} patch {quiet} {live} --backup {variants} --table subscription_variants --column cancelled_at "
            f'--from updated_at --where "{PREDICATE}" {agreed} >$OUT',
            "patch",
        )


def alone(rows, engine):
    """restorekit's runs at one database by itself."""
    quiet, live = "-q --no-progress", f"--live {engine.live}"
    yield f"{engine.name} snapshot", (engine.all,), Run(
        "restorekit",
        f"{TOOL} snapshot {quiet} {live} --table events --out $OUT.d >$OUT.said",
        "snapshot",
        before="rm -rf $OUT.d",
        after="mv $OUT.d/*/parquet/*events.parquet $OUT; rm -rf $OUT.d",
    )
    # The gap report of one database: the backup has the table, and fills nothing.
    empty = f"{WORK}/data/{rows}/empty.sqlite"
    pick = "g = json.load(open('$OUT.json')); print(len(g['runs']), g['missing'])"
    yield f"{engine.name} gaps", (engine.ids,), Run(
        "restorekit",
        f"{TOOL} gaps {quiet} {live} --backup {empty} --table events --format json >$OUT.json",
        "gaps",
        before=f"[ -f {empty} ] || sqlite3 {empty} 'create table events(id integer primary key, title text)'",
        after=f'{PY} -c "import json; {pick}" >$OUT',
    )


def dumps(rows):
    """A whole diff from a dump that lies there, beside loading the dump into its server, which is what is done without."""
    data = f"{WORK}/data/{rows}"
    pg, my = engines(rows)
    fresh_pg = "dropdb --if-exists -f scratch; createdb scratch"
    fresh_my = "my -e 'drop database if exists scratch; create database scratch'"
    for name, engine, file, fresh, load in (
        ("plain pg_dump", pg, "backup.pg.sql", fresh_pg, "psql -X -q -d scratch -f {} >$OUT"),
        ("pg_dump -Fc", pg, "backup.pg.dump", fresh_pg, "pg_restore -d scratch {} >$OUT"),
        ("mariadb-dump", my, "backup.my.sql", fresh_my, "my scratch <{} >$OUT"),
    ):
        pick = "t = json.load(open('$OUT.json'))['tables'][0]; print(t['missing'], t['extra'], t['changed'])"
        diff = f"{TOOL} diff -q --no-progress --live {engine.live} --backup {data}/{file} --table events --format json"
        result = f'{PY} -c "import json; {pick}" >$OUT'
        run = Run("restorekit", f"{diff} --no-cache >$OUT.json", "diff", after=result)
        again = Run("restorekit, the dump read before", f"{diff} >$OUT.json", "diff", before=f"{diff} >$OUT.json", after=result)
        floor = Run("loading it into its server", load.format(f"{data}/{file}"), before=fresh)
        yield Group(f"{engine.name}/{name} diff", [run, again], [floor], ("floor", 0.2), engine=engine.name)
    counts = ", ".join(f"count({column})" for column in EVENTS)
    for name, engine, file, begin, end in (
        ("plain pg_dump", pg, "backup.pg.sql", b"COPY public.events ", b"\\.\n"),
        ("mariadb-dump", my, "backup.my.sql", b"INSERT INTO `events` ", b"UNLOCK TABLES"),
    ):
        said = f"-q --live {engine.live} --backup {data}/{file} --table events --format csv --no-cache"
        run = Run("restorekit", f"{TOOL} sql {said} 'select {counts} from backup.events' >$OUT",
                  verify=f"grep -q ^{rows}, $OUT && echo ok || echo WRONG")
        size = functools.partial(text_between, f"{data}/{file}", begin, end)
        yield Group(f"{engine.name}/{name} into Arrow", [run], [], ("MB/s", 150), engine=engine.name, size=size)


def text_between(path, begin, end):
    """How many bytes of a dump are a table's rows: the lines from the one that begins so to the one that ends them."""
    size, inside = 0, False
    with open(path, "rb") as file:
        for line in file:
            inside = inside or line.startswith(begin)
            if inside and line.startswith(end):
                return size
            size += len(line) * inside
    return size


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
    for engine in engines(rows):
        for name, bare, run in (*compared(rows, engine), *alone(rows, engine)):
            theirs = [c for c in cases if peers and c["group"] == name and c["peer"].startswith(PEERS)]
            theirs = [Run(c["peer"], c["cmd"], c["check"]) for c in theirs]
            yield Group(name, [run, *theirs], [floors[floor] for floor in bare], TARGETS[name.split()[1]], engine=engine.name)
    if os.environ.get("SERVERS"):
        yield from dumps(rows)
    else:
        yield from story_c(rows)
        yield from start_up()
