use proptest::prelude::*;

use super::*;
use crate::backup::manifest::Series;
use crate::model::table::TableName;
use crate::snapshot::list::list;
use crate::snapshot::list::tests::plant;

fn info(database: &str, taken_at: &str) -> SnapshotInfo {
    SnapshotInfo {
        path: PathBuf::from(format!("{database}/{taken_at}")),
        taken_at: at(taken_at),
        series: Series {
            host: "h".into(),
            database: database.into(),
            location: "/l".into(),
            only: vec![],
        },
        formats: vec![],
        tables: 1,
        rows: 1,
        bytes: 1,
        damage: None,
        warnings: vec![],
    }
}

/// Later than every snapshot here.
fn now() -> DateTime<FixedOffset> {
    at("2030-01-01T00:00:00Z")
}

fn at(text: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(text).unwrap()
}

fn decide(list: &[SnapshotInfo], policy: &Policy) -> PrunePlan {
    plan(list, policy, now(), &[]).unwrap()
}

fn series(times: &[&str]) -> Vec<SnapshotInfo> {
    times.iter().map(|t| info("a", t)).collect()
}

fn kept(times: &[&str], policy: Policy) -> Vec<String> {
    let plan = decide(&series(times), &policy);
    assert_eq!(plan.keep.len() + plan.remove.len(), times.len());
    plan.keep.iter().map(|k| k.snapshot.taken_at.to_rfc3339()[..16].to_owned()).collect()
}

/// The Sundays of the restic manual's example: every second day, and so on.
const SUNDAYS: [&str; 14] = [
    "2017-10-01T11:00:00+00:00",
    "2017-10-08T11:00:00+00:00",
    "2017-10-15T11:00:00+00:00",
    "2017-10-22T11:00:00+00:00",
    "2017-10-29T11:00:00+00:00",
    "2017-11-05T11:00:00+00:00",
    "2017-11-12T11:00:00+00:00",
    "2017-11-19T11:00:00+00:00",
    "2017-11-26T11:00:00+00:00",
    "2017-12-03T11:00:00+00:00",
    "2017-12-10T11:00:00+00:00",
    "2017-12-17T11:00:00+00:00",
    "2017-12-24T11:00:00+00:00",
    "2017-12-31T11:00:00+00:00",
];

#[test]
fn daily_counts_days_that_have_a_snapshot_as_in_restics_manual() {
    let policy = Policy { daily: 4, ..Policy::default() };
    assert_eq!(
        kept(&SUNDAYS, policy),
        ["2017-12-31T11:00", "2017-12-24T11:00", "2017-12-17T11:00", "2017-12-10T11:00"]
    );
}

#[test]
fn rules_add_up() {
    let policy = Policy { weekly: 2, monthly: 3, ..Policy::default() };
    assert_eq!(
        kept(&SUNDAYS, policy),
        ["2017-12-31T11:00", "2017-12-24T11:00", "2017-11-26T11:00", "2017-10-29T11:00"]
    );
}

#[test]
fn the_newest_of_a_day_stays_and_the_oldest_while_days_are_left() {
    let times = [
        "2024-05-01T01:00:00Z",
        "2024-05-01T02:00:00Z",
        "2024-05-02T01:00:00Z",
        "2024-05-02T02:00:00Z",
    ];
    let daily = |n| Policy { daily: n, ..Policy::default() };
    assert_eq!(kept(&times, daily(1)), ["2024-05-02T02:00"]);
    assert_eq!(kept(&times, daily(2)), ["2024-05-02T02:00", "2024-05-01T02:00"]);
    assert_eq!(
        kept(&times, daily(3)),
        ["2024-05-02T02:00", "2024-05-01T02:00", "2024-05-01T01:00"]
    );
    let plan = decide(&series(&times), &daily(3));
    assert_eq!(plan.keep[2].reasons, ["oldest daily snapshot"]);
    assert_eq!(
        kept(&times, Policy { hourly: Count::MAX, ..Policy::default() }).len(),
        4,
        "without a limit"
    );
}

#[test]
fn days_are_those_of_one_zone_wherever_a_snapshot_was_taken() {
    let times = ["2024-05-01T23:30:00-04:00", "2024-05-02T03:40:00Z", "2024-05-02T07:00:00+02:00"];
    let daily = Policy { daily: 3, ..Policy::default() };
    let days = |now: &str| {
        let plan = plan(&series(&times), &daily, at(now), &[]).unwrap();
        let daily = |k: &&Kept| k.reasons.contains(&"daily snapshot".to_owned());
        plan.keep.iter().filter(daily).map(|k| k.snapshot.taken_at.to_rfc3339()).collect::<Vec<_>>()
    };
    assert_eq!(days("2024-05-03T00:00:00Z"), [times[2]]);
    let seen = days("2024-05-03T00:00:00-04:00");
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn one_of_a_time_to_come_neither_counts_nor_goes() {
    let mut list = series(&SUNDAYS);
    list.push(info("a", "2038-01-19T03:14:08Z"));
    let now = at("2018-01-01T12:00:00Z");
    let within = Policy { within: Some("30d".parse().unwrap()), ..Policy::default() };
    for policy in [Policy { last: 1, ..Policy::default() }, within] {
        let plan = plan(&list, &policy, now, &[]).unwrap();
        let reasons = |day: &str| {
            let of = |k: &&Kept| k.snapshot.taken_at.to_rfc3339().starts_with(day);
            plan.keep.iter().find(of).map(|k| k.reasons.join(", ")).unwrap_or_default()
        };
        assert!(!reasons("2017-12-31").is_empty(), "{policy:?}");
        assert!(reasons("2038").contains("wrong clock"), "{policy:?}");
    }
    // Within a day it is another zone, or a clock that is a little off.
    let near = series(&["2018-01-02T11:00:00Z", "2017-12-31T11:00:00Z"]);
    let last = Policy { last: 1, ..Policy::default() };
    let plan = plan(&near, &last, now, &[]).unwrap();
    assert_eq!((plan.keep.len(), plan.remove.len()), (1, 1));
    assert_eq!(plan.keep[0].reasons, ["last snapshot"]);
}

#[test]
fn the_one_just_taken_stays_when_the_clock_went_back() {
    let list = series(&SUNDAYS);
    let taken = [list[3].path.clone()];
    let last = Policy { last: 1, ..Policy::default() };
    let plan = plan(&list, &last, now(), &taken).unwrap();
    let kept: Vec<_> = plan.keep.iter().map(|k| (&k.snapshot.path, k.reasons.join(", "))).collect();
    let newest = (&list[13].path, "last snapshot".to_owned());
    assert_eq!(kept, [newest, (&taken[0], "just taken".to_owned())]);
    assert_eq!(plan.remove.len(), 12);
}

#[test]
fn the_last_week_of_the_year_is_one_week() {
    let times = ["2024-12-30T00:00:00Z", "2025-01-02T00:00:00Z", "2025-01-06T00:00:00Z"];
    let weekly = Policy { weekly: 2, ..Policy::default() };
    assert_eq!(kept(&times, weekly), ["2025-01-06T00:00", "2025-01-02T00:00"]);
}

#[test]
fn within_counts_back_from_the_newest() {
    let policy = Policy { within: Some("1m".parse().unwrap()), ..Policy::default() };
    assert_eq!(
        kept(&SUNDAYS, policy),
        [
            "2017-12-31T11:00",
            "2017-12-24T11:00",
            "2017-12-17T11:00",
            "2017-12-10T11:00",
            "2017-12-03T11:00"
        ]
    );
    let span: Within = "2y5m7d3h".parse().unwrap();
    assert_eq!(span, Within { months: 29, days: 7, hours: 3 });
    for wrong in ["", "3", "d", "3x", "-3d", "0d", "99999999999d", "4000000000y", "3é"] {
        assert!(wrong.parse::<Within>().is_err(), "{wrong}");
    }
}

#[test]
fn an_empty_policy_is_refused() {
    assert!(plan(&series(&SUNDAYS), &Policy::default(), now(), &[]).is_err());
}

#[test]
fn every_database_is_judged_by_itself_and_keeps_its_newest() {
    let mut list = series(&SUNDAYS);
    list.push(info("b", "2001-01-01T00:00:00Z"));
    let mut elsewhere = info("a", "2001-01-01T00:00:00Z");
    elsewhere.series.location = "/other".into();
    list.push(elsewhere);
    let plan = decide(&list, &Policy { last: 1, ..Policy::default() });
    assert_eq!(plan.keep.len(), 3);
}

#[test]
fn a_snapshot_of_some_tables_counts_for_no_whole_one() {
    let mut list = series(&SUNDAYS);
    for part in &mut list[4..] {
        part.series.only = vec![TableName::bare("events")];
    }
    list[13].series.only = vec![TableName::bare("users")];
    let plan = decide(&list, &Policy { last: 3, ..Policy::default() });
    let kept: Vec<_> = plan.keep.iter().map(|k| k.snapshot.path.clone()).collect();
    let expected = [3, 2, 1, 12, 11, 10, 13].map(|i| list[i].path.clone());
    assert_eq!(kept, expected);
}

#[test]
fn snapshots_without_a_full_path_neither_count_nor_go() {
    // As `snapshot --live prod.db` left them in /srv/a and in /srv/b.
    let mut list = series(&SUNDAYS);
    for snapshot in &mut list[..10] {
        snapshot.series.location = "prod.db".into();
    }
    let plan = decide(&list, &Policy { last: 1, ..Policy::default() });
    assert_eq!((plan.keep.len(), plan.remove.len()), (11, 3));
    let untold = plan.keep.iter().filter(|k| k.reasons[0].contains("path in full"));
    assert_eq!(untold.count(), 10);
    for told in ["/srv/prod.db", "postgres://app@db1:5432/prod", "mysql://root@localhost/prod"] {
        let location = told.to_owned();
        assert!(Series { location, ..list[0].series.clone() }.is_told(), "{told}");
    }
    for untold in ["", "prod.db", "./prod.db", "../a/prod.db"] {
        let location = untold.to_owned();
        assert!(!Series { location, ..list[0].series.clone() }.is_told(), "{untold}");
    }
}

#[test]
fn damaged_snapshots_neither_count_nor_go() {
    let mut list = series(&SUNDAYS);
    list[13].damage = Some("torn".into());
    list[0].damage = Some("torn".into());
    let plan = decide(&list, &Policy { last: 1, ..Policy::default() });
    let kept: Vec<_> =
        plan.keep.iter().map(|k| k.snapshot.taken_at.to_rfc3339()[..10].to_owned()).collect();
    assert_eq!(kept, ["2017-12-24", "2017-12-31", "2017-10-01"]);
}

#[test]
fn removing_takes_only_whole_snapshots_of_ours() {
    let root = tempfile::tempdir().unwrap();
    for day in 1..=5 {
        plant(root.path(), "a.db", &format!("2024-05-0{day}T00:00:00Z"));
    }
    let found = list(root.path()).unwrap();
    let plan = decide(&found, &Policy { last: 1, ..Policy::default() });
    assert_eq!(plan.remove.len(), 4);

    remove(&plan.remove[0]).unwrap();
    assert!(!plan.remove[0].path.exists());
    remove(&plan.remove[0]).unwrap();

    fs::write(plan.remove[1].path.join("notes.txt"), b"mine").unwrap();
    let e = remove(&plan.remove[1]).unwrap_err();
    assert!(e.to_string().contains("notes.txt"), "{e}");

    fs::write(plan.remove[2].path.join("parquet/t.parquet"), b"ab").unwrap();
    assert!(remove(&plan.remove[2]).unwrap_err().to_string().contains("damaged"));

    fs::remove_dir_all(&plan.remove[3].path).unwrap();
    fs::create_dir(&plan.remove[3].path).unwrap();
    assert!(remove(&plan.remove[3]).is_err());

    let left = fs::read_dir(root.path()).unwrap().count();
    assert_eq!(left, 4, "nothing hidden stays behind");
}

#[test]
fn one_that_can_not_be_removed_holds_up_no_other() {
    let root = tempfile::tempdir().unwrap();
    for day in 1..=4 {
        plant(root.path(), "a.db", &format!("2024-05-0{day}T00:00:00Z"));
    }
    let found = list(root.path()).unwrap();
    let mut plan = decide(&found, &Policy { last: 1, ..Policy::default() });
    fs::write(found[1].path.join("notes.txt"), b"mine").unwrap();
    // Another run removes the same, and is faster with this one.
    fs::remove_dir_all(&found[2].path).unwrap();
    let stay = carry_out(&mut plan);
    let paths = |all: Vec<&SnapshotInfo>| all.iter().map(|s| s.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(stay.iter().map(|s| &s.snapshot).collect()), [found[1].path.clone()]);
    assert!(stay[0].error.to_string().contains("notes.txt"), "{}", stay[0].error);
    let removed = [found[2].path.clone(), found[3].path.clone()];
    assert_eq!(paths(plan.remove.iter().collect()), removed);
    assert_eq!(
        paths(list(root.path()).unwrap().iter().collect()),
        [0, 1].map(|i| found[i].path.clone())
    );
}

fn policies() -> impl Strategy<Value = Policy> {
    let count = || prop_oneof![Just(0u32), 1..6u32, Just(Count::MAX)];
    (count(), count(), count(), count(), count(), count(), prop::option::of(0u32..90)).prop_map(
        |(last, hourly, daily, weekly, monthly, yearly, within)| Policy {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within: within.map(|days| Within { days, ..Within::default() }),
        },
    )
}

fn paths(plan: &PrunePlan) -> BTreeSet<PathBuf> {
    plan.keep.iter().map(|k| k.snapshot.path.clone()).collect()
}

proptest! {
    #[test]
    fn keeping_more_never_loses_one_and_the_newest_always_stays(
        seconds in prop::collection::btree_set(0i64..100_000_000, 1..40),
        policy in policies(),
        rule in 0usize..6,
    ) {
        prop_assume!(!policy.is_empty());
        let list: Vec<SnapshotInfo> = seconds
            .iter()
            .map(|s| info("a", &DateTime::from_timestamp(*s, 0).unwrap().to_rfc3339()))
            .collect();
        let less = decide(&list, &policy);
        let newest = &list[list.len() - 1].path;
        prop_assert!(paths(&less).contains(newest));

        let mut wider = policy;
        let count = match rule {
            0 => &mut wider.last,
            1 => &mut wider.hourly,
            2 => &mut wider.daily,
            3 => &mut wider.weekly,
            4 => &mut wider.monthly,
            _ => &mut wider.yearly,
        };
        *count = count.saturating_add(1);
        let more = decide(&list, &wider);
        prop_assert!(paths(&less).is_subset(&paths(&more)));

        // pruning what is left by the same policy keeps the days, weeks, .. it kept
        let rest: Vec<SnapshotInfo> = less.keep.iter().map(|k| k.snapshot.clone()).collect();
        let again = decide(&rest, &policy);
        prop_assert_eq!(paths(&again), paths(&less));
    }
}
