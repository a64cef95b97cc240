//! The one test binary: what needs the whole program or real files of other tools. Each
//! module's own tests stand with the module.

mod across;
mod bad_input;
mod cached;
mod chinook;
#[allow(dead_code, unreachable_pub)]
mod common;
mod ctrl_c;
mod demo;
mod documented;
mod documents;
mod flags;
mod house;
mod kills;
mod lossy;
mod model;
mod mysql;
mod plans;
mod postgres;
mod prompt;
mod replicas;
mod row_diff;
mod scripts;
mod several;
mod snapshots;
mod stores;
mod story_a;
mod story_b;
mod tls;
mod told;
