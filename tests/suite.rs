//! The one test binary: what needs the whole program or real files of other tools. Each
//! module's own tests stand with the module.

mod house;
