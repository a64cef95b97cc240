//! Plans made and applied between two databases of a real server.

mod clients;
mod lab;
mod matrix;
mod partitions;
mod rows;
mod schema;

crate::engine::tests::contract::signed!(lab::Database);
