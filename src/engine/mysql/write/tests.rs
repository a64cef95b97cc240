//! Plans made and applied between two databases of a real server.

mod lab;
mod matrix;
mod rows;
