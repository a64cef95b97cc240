//! Scripts as dump tools write them with options of theirs, or one behind the other.

use super::*;
use crate::backup::dump::{Dump, DumpKind, DumpSpec, Wanted};
use crate::backup::inspect::inspect;
use crate::backup::text::Limits;
use crate::error::Kind;

/// A dump in a folder of its own.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.sql");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn opened(text: &str, kind: DumpKind, live: Option<&str>, wanted: &Wanted) -> Result<Dump> {
    let (_folder, path) = written(text);
    let database = live.map(str::to_owned);
    Dump::open(DumpSpec { path, kind, limits: Limits::default(), database, cache: None }, wanted)
}

fn names(dump: &Dump) -> Vec<String> {
    dump.tables().iter().map(|table| table.name.to_string()).collect()
}

/// What pg_dumpall writes of two databases: `app` with the table `schema`.users, `sales` with its own.
fn cluster(schema: &str) -> String {
    let database = |name: &str, schema: &str, id: u8| {
        format!(
            "\\connect {name}\n-- PostgreSQL database dump\nCREATE TABLE {schema}.users (id integer);\n\
             COPY {schema}.users (id) FROM stdin;\n{id}\n\\.\n-- PostgreSQL database dump complete\n"
        )
    };
    format!(
        "-- PostgreSQL database cluster dump\n{}{}-- PostgreSQL database cluster dump complete\n",
        database("app", schema, 1),
        database("sales", "public", 2)
    )
}

#[tokio::test]
async fn w1_a_table_of_another_database_is_never_taken_for_one_of_lives() {
    let of = |text: &str, live| opened(text, DumpKind::Postgres, live, &Wanted::All);
    let text = cluster("sales");
    assert_eq!(names(&of(&text, Some("app")).unwrap()), ["sales.public.users", "sales.users"]);
    let other = of(&text, Some("elsewhere")).unwrap();
    assert_eq!(names(&other), ["app.sales.users", "sales.public.users"]);
    let (_folder, path) = written(&text);
    let app = BackupSpec { database: Some("app".into()), ..spec(&path) };
    let source = open_backup(&app).await.unwrap();
    let id = [column("id", Carrier::Int)];
    let read = |name: TableName| {
        let scan = Scan {
            table: name,
            columns: id.to_vec(),
            key: Vec::new(),
            range: KeyRange::default(),
            filter: None,
            unfit: Unfit::Refuse,
        };
        let rows = source.scan(scan).unwrap();
        async {
            rows.try_collect::<Vec<_>>()
                .await
                .unwrap()
                .iter()
                .flat_map(|b| ints(b, 0))
                .collect::<Vec<_>>()
        }
    };
    let own = TableName { schema: Some("sales".into()), name: "users".into() };
    assert_eq!(read(own).await, [1]);
    assert_eq!(read(TableName::bare("sales.public.users")).await, [2]);
    // A bare name finds nothing of another database.
    let tables = source.tables().await.unwrap();
    let found = crate::mount::find_table(&tables, "users").map(ToString::to_string);
    assert_eq!(found.as_deref(), Some("sales.users"));
    // Where a schema is called like the other's whole name, nothing can tell the two.
    let error = of(&cluster("\"sales.public\""), Some("app")).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(
        error.to_string().contains("users of the schema sales.public of the database app"),
        "{error}"
    );
    assert!(error.to_string().contains("users of the database sales"), "{error}");
}

#[test]
fn w1_mysqls_other_databases_are_not_found_by_a_bare_name() {
    let text = "-- MySQL dump 10.13\nUSE `app`;\nCREATE TABLE `a` (`id` int);\n\
                -- Dumping data for table `a`\nINSERT INTO `a` VALUES (1);\nUSE `second`;\n\
                CREATE TABLE `users` (`id` int);\n-- Dumping data for table `users`\n\
                INSERT INTO `users` VALUES (2);\n-- Dump completed\n";
    let dump = opened(text, DumpKind::Mysql, Some("app"), &Wanted::All).unwrap();
    assert_eq!(names(&dump), ["a", "second.users"]);
    let tables: Vec<TableName> = dump.tables().iter().map(|table| table.name.clone()).collect();
    assert_eq!(crate::mount::find_table(&tables, "users"), None);
    assert!(crate::mount::find_table(&tables, "second.users").is_some());
}

/// A table in two partitions, of which `data` of the second are there.
fn partitions(data: &str) -> String {
    format!(
        "-- PostgreSQL database dump\nCREATE TABLE public.p (id integer) PARTITION BY RANGE (id);\n\
         CREATE TABLE public.p1 (id integer);\nCREATE TABLE public.p2 (id integer);\n\
         ALTER TABLE ONLY public.p ATTACH PARTITION public.p1 FOR VALUES FROM (0) TO (10);\n\
         ALTER TABLE ONLY public.p ATTACH PARTITION public.p2 FOR VALUES FROM (10) TO (20);\n\
         -- Data for Name: p1; Type: TABLE DATA; Schema: public; Owner: me\n\
         COPY public.p1 (id) FROM stdin;\n1\n\\.\n{data}-- PostgreSQL database dump complete\n"
    )
}

#[tokio::test]
async fn w8_a_partition_without_its_data_is_told_and_an_empty_one_is_not() {
    for (data, left_out) in [
        ("", &["the rows of partition p2"][..]),
        ("COPY public.p2 (id) FROM stdin;\n\\.\n", &[]),
        ("-- Data for Name: p2; Type: TABLE DATA; Schema: public; Owner: me\n", &[]),
    ] {
        let (_folder, path) = written(&partitions(data));
        let source = open(&path).await;
        let schema = source.schema(&TableName::bare("p")).await.unwrap();
        assert_eq!(schema.left_out, left_out, "{data}");
        let id = [column("id", Carrier::Int)];
        let rows = scan(&*source, "p", &id, &[], KeyRange::default()).await.unwrap();
        assert_eq!(rows, [[Value::Int(1)]], "{data}");
        let warnings = inspect(&spec(&path)).await.unwrap().warnings;
        let told = warnings.iter().any(|w| w == "p: the rows of partition p2 are not in the dump");
        assert_eq!(told, !left_out.is_empty(), "{warnings:?}");
    }
}

#[tokio::test]
async fn w8_the_condition_of_a_mysqldump_is_told() {
    let text = |condition: &str| {
        format!(
            "-- MySQL dump 10.13\nCREATE TABLE `t` (`id` int);\n--\n-- Dumping data for table `t`\n--\n\
             {condition}\nINSERT INTO `t` VALUES (1);\n-- Dump completed\n"
        )
    };
    for (condition, left_out) in
        [("-- WHERE:  id<2\n", &["rows other than WHERE id<2"][..]), ("", &[])]
    {
        let (_folder, path) = written(&text(condition));
        let schema = open(&path).await.schema(&TableName::bare("t")).await.unwrap();
        assert_eq!(schema.left_out, left_out);
        let warnings = inspect(&spec(&path)).await.unwrap().warnings;
        let told = warnings.iter().any(|w| w.starts_with("t: rows other than WHERE id<2"));
        assert_eq!(told, !left_out.is_empty(), "{warnings:?}");
    }
}

#[test]
fn w8_a_second_dump_in_a_file_needs_an_end_of_its_own() {
    let table = |name: &str| {
        format!(
            "-- MariaDB dump 10.19\n--\n-- Table structure for table `{name}`\n--\n\
             CREATE TABLE `{name}` (`id` int);\n--\n-- Dumping data for table `{name}`\n--\n\
             LOCK TABLES `{name}` WRITE;\nINSERT INTO `{name}` VALUES (1);\nUNLOCK TABLES;\n\
             -- Dump completed on 2024-03-14  2:00:07\n"
        )
    };
    let (first, second) = (table("a"), table("b"));
    let of = |text: &str| opened(text, DumpKind::Mysql, None, &Wanted::All);
    let whole = format!("{first}{second}");
    assert_eq!(names(&of(&whole).unwrap()), ["a", "b"]);
    for mark in [
        "--\n-- Table",
        "CREATE",
        "--\n-- Dumping",
        "LOCK",
        "INSERT",
        "UNLOCK",
        "-- Dump completed",
    ] {
        let cut = first.len() + second.find(mark).unwrap();
        let error = of(&whole[..cut]).map(|dump| names(&dump)).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "before {mark}: {error}");
    }
    // Without comments only the statements tell.
    let bare = |text: &str| {
        text.lines().filter(|l| !l.starts_with("--")).map(|l| format!("{l}\n")).collect::<String>()
    };
    let cut = format!("{first}{}", bare(&second));
    assert_eq!(of(&cut).map(|_| ()).unwrap_err().kind(), Kind::Damaged);
}

#[tokio::test]
async fn t15_bytes_whose_type_is_not_told_are_read_in_both_of_postgres_forms() {
    let text = "-- PostgreSQL database dump\n\
                COPY public.f (id, b) FROM stdin;\n1\t\\\\000\\\\377A\n2\t\\\\x00ff41\n3\t\\\\\\\\\n\\.\n\
                INSERT INTO public.f (id, b) VALUES (4, '\\000\\377A');\n\
                INSERT INTO public.f (id, b) VALUES (5, '\\x00ff41');\n\
                -- PostgreSQL database dump complete\n";
    let (_folder, path) = written(text);
    let source = open(&path).await;
    let of_postgres = Column {
        declared: "bytea".into(),
        affinity: Affinity::Postgres,
        ..Column::new("b", Carrier::Blob)
    };
    for live in [column("b", Carrier::Blob), of_postgres] {
        let rows = scan(&*source, "f", std::slice::from_ref(&live), &[], KeyRange::default())
            .await
            .unwrap();
        let blob = |bytes: &[u8]| [Value::Blob(bytes.to_vec())];
        let same = || blob(b"\0\xffA");
        assert_eq!(rows, [same(), same(), blob(b"\\"), same(), same()], "{live:?}");
    }
    // MySQL writes bytes as they are.
    let text = "-- MySQL dump 10.13\nINSERT INTO `f` (`b`) VALUES ('\\\\x41'),('\\\\101');\n-- Dump completed\n";
    let (_folder, path) = written(text);
    let blob = [column("b", Carrier::Blob)];
    let rows = scan(&*open(&path).await, "f", &blob, &[], KeyRange::default()).await.unwrap();
    assert_eq!(rows, [[Value::Blob(b"\\x41".to_vec())], [Value::Blob(b"\\101".to_vec())]]);
}

#[test]
fn k7_rows_of_the_past_are_not_taken_for_current_ones() {
    let text = "-- MariaDB dump 10.19\nCREATE TABLE `v` (`id` int) WITH SYSTEM VERSIONING;\n\
                -- Dumping data for table `v`\n\
                /*M!101100 SET @old_system_versioning_insert_history=@@session.system_versioning_insert_history, @@session.system_versioning_insert_history=1 */;\n\
                INSERT INTO `v` (`id`, row_start, row_end) VALUES (1,'2026-11-29 12:52:07.869572','2026-11-29 12:52:07.874733');\n\
                /*M!101100 SET system_versioning_insert_history=@old_system_versioning_insert_history */;\n\
                CREATE SEQUENCE `s` start with 1;\nDO SETVAL(`s`, 1, 0);\n\
                CREATE TABLE `t` (`id` int);\n-- Dumping data for table `t`\nINSERT INTO `t` VALUES (7);\n\
                -- Dump completed\n";
    let of = |wanted: &Wanted| opened(text, DumpKind::Mysql, None, wanted);
    let error = of(&Wanted::All).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.to_string().contains("v stands there with its history"), "{error}");
    let dump = of(&Wanted::Named(vec!["t".into()])).unwrap();
    let t = dump.tables().iter().find(|table| table.name.name == "t").unwrap();
    assert_eq!(t.rows, Some(1));
    let doing = text.replace("DO SETVAL(`s`, 1, 0)", "DO remove_rows()");
    let error =
        opened(&doing, DumpKind::Mysql, None, &Wanted::Named(vec!["t".into()])).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}

#[tokio::test]
async fn w8_inserts_of_a_folder_that_end_at_a_statement_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    let archive = super::dumps::fixture("postgres/inserts-directory");
    fs::create_dir(&path).unwrap();
    for file in fs::read_dir(archive).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, path.join(file.file_name().unwrap())).unwrap();
    }
    let rows = super::dumps::columns();
    let read = || async {
        let source = open(&path).await;
        scan(&*source, "awkward", &rows, &[], KeyRange::default()).await
    };
    let whole = read().await.unwrap().len();
    assert!(whole > 2);
    let files = fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
    let holds = |file: &PathBuf| {
        memchr::memmem::find(&fs::read(file).unwrap(), b"INSERT INTO public.awkward").is_some()
            && !file.ends_with("toc.dat")
    };
    let file = files.into_iter().find(holds).unwrap();
    let text = fs::read(&file).unwrap();
    let ends = memchr::memmem::find_iter(&text, b"\nINSERT").map(|at| at + 1);
    for cut in ends.chain([0, text.len() - 2]) {
        fs::write(&file, &text[..cut]).unwrap();
        let error = read().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "cut at {cut}: {error}");
    }
}
