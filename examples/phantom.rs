use restorekit::backup::detect::{BackupSpec, open_backup};
use restorekit::diff::pair::{PairOptions, pair_tables};
use restorekit::diff::summary::summarise;
use restorekit::model::side::Side;
use restorekit::mount::Mount;
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut spec = BackupSpec::parse(&a[1]).unwrap();
    spec.database = Some("app".into());
    let t = std::time::Instant::now();
    let backup = open_backup(&spec).await.unwrap_or_else(|e| panic!("{e:?}"));
    println!("{:?} {:?}", backup.origin(), t.elapsed());
    let live = restorekit::registry::open_live(&a[2], 2).await.unwrap();
    let mount = Mount::new(Side { backup: backup.clone(), live }, 2).await.unwrap();
    let pairs = pair_tables(&mount, &PairOptions::default()).await.unwrap();
    for p in &pairs.pairs {
        let t = std::time::Instant::now();
        let d = summarise(&mount, p, restorekit::progress::silent())
            .await
            .unwrap_or_else(|e| panic!("{e:?}"));
        println!(
            "{} {:?} missing {} changed {} extra {} same {} {:?}",
            p.table.live,
            t.elapsed(),
            d.missing,
            d.changed,
            d.extra,
            d.same,
            p.not_compared
        );
        println!("{:?}", d.columns);
    }
    println!("{:?} {:#?}", pairs.skipped, backup.notes());
    let _ = Arc::strong_count(&backup);
}
