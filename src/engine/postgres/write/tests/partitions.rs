//! Partitioned tables: what hangs on the partitions themselves.

use super::lab::{Lab, counts};
use crate::model::conflict::Reason;
use crate::model::table::TableName;
use crate::registry;

const PARTITIONED: &str = "create table p(id int primary key, v int) partition by range (id);
     create table p1 partition of p for values from (0) to (100);
     create table p2 partition of p for values from (100) to (200) partition by range (id);
     create table p2a partition of p2 for values from (100) to (150);";

#[tokio::test]
async fn c1_undo_of_an_insert_cascades_to_nobody_who_refers_to_a_partition() {
    let lab = Lab::new(
        &format!(
            "{PARTITIONED} insert into p values (1, 1), (2, 2), (101, 1), (102, 2), (103, 3);"
        ),
        "delete from p where id <> 103;",
    );
    let plan = lab.restore("aaaaaa", &["p"]).await.unwrap();
    assert_eq!(counts(&lab.apply(&plan).await.unwrap()), [4, 4, 0, 0]);
    lab.live.sql(
        "create table c1(p int references p1(id) on delete cascade); insert into c1 values (2);
         create table c2(p int references p2a(id) on delete cascade); insert into c2 values (102);
         create table c3(p int references p(id) on delete cascade) partition by list (p);
         create table c3d partition of c3 default; insert into c3 values (2);",
    );
    let undone = lab.undo(&plan, "bbbbbb").await;
    assert_eq!(counts(&undone), [4, 2, 0, 2], "{undone:?}");
    assert!(undone.conflicts.iter().all(|c| c.reason == Reason::ForeignKey), "{undone:?}");
    assert_eq!(lab.live.sql("select id from p order by id"), "2\n102\n103\n");
    assert_eq!(lab.live.sql("select p from c1 union all select p from c2"), "2\n102\n");
}

#[tokio::test]
async fn c14_a_table_with_a_foreign_partition_is_not_written() {
    let both =
        format!("{PARTITIONED} create table q(id int not null, v int) partition by list (id);");
    let lab = Lab::new(
        &both,
        "create extension file_fdw; create server files foreign data wrapper file_fdw;
         create table q1 partition of q default partition by list (id);
         create foreign table q1f partition of q1 for values in (1)
            server files options (program 'true', format 'csv');",
    );
    let source = registry::open_live(&lab.live.url(), 1).await.unwrap();
    let why = source.schema(&TableName::bare("q")).await.unwrap().unwritable;
    assert!(why.as_ref().is_some_and(|why| why.contains("foreign table")), "{why:?}");
    assert_eq!(source.schema(&TableName::bare("p")).await.unwrap().unwritable, None);
    source.release().await.unwrap();
}

#[tokio::test]
async fn c4_triggers_of_a_partition_are_told_and_checked() {
    let lab = Lab::new(
        &format!(
            "{PARTITIONED} alter table p add w int; insert into p values (1, 1, 1), (101, 1, 1), (102, 2, 2);"
        ),
        "update p set v = 0;
         create function f() returns trigger language plpgsql as
            $$begin if new.id = 102 then new.w = 9; end if; return new; end$$;
         create trigger everywhere after update on p for each row execute function f();
         create trigger tr before update on p2a for each row execute function f();
         create trigger never before update on p2a for each statement execute function f();",
    );
    let plan = lab.patch("aaaaaa", "p", &[("v", "v")], None).await.unwrap();
    let schema = &plan.header().tables[0].schema;
    let names: Vec<&str> = schema.triggers.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["everywhere", "p2a.tr"]);
    let notes = plan.header().tables[0].notes.join("; ");
    assert!(notes.contains("trigger p2a.tr"), "{notes}");
    let receipt = lab.apply(&plan).await.unwrap();
    assert_eq!(counts(&receipt), [3, 2, 0, 1], "{receipt:?}");
    assert_eq!(receipt.conflicts[0].reason, Reason::NotExact);
    assert_eq!(lab.live.sql("select * from p order by id"), "1\t1\t1\n101\t1\t1\n102\t0\t2\n");
    lab.live.sql("create trigger late after insert on p1 for each row execute function f();");
    let plan = lab.patch("bbbbbb", "p", &[("v", "v")], None).await.unwrap();
    lab.live.sql("drop trigger late on p1");
    let e = lab.apply(&plan).await.unwrap_err();
    assert!(e.to_string().contains("changed since the plan"), "{e}");
}
