//! Opening what a person named, with what the engine's own clients would add to it: a
//! password is best kept in their files (~/.my.cnf), and is asked of nobody else.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::cli::{Context, variable};
use crate::error::Result;
use crate::registry::{self, default_parallelism};
use crate::source::Source;
use crate::target::Target;

/// A location with the user, password and place that the environment and the option files
/// of its engine's clients give where it names none.
pub fn completed(location: &str) -> Result<SecretString> {
    registry::complete(location, &variable)
}

/// Opens live for reading.
pub async fn live(location: &str) -> Result<Arc<dyn Source>> {
    registry::open_live(completed(location)?.expose_secret(), default_parallelism()).await
}

/// Opens live to be written to.
pub async fn target(location: &str) -> Result<Box<dyn Target>> {
    registry::open_target(completed(location)?.expose_secret()).await
}

/// Where a plan's database is entered again. A plan keeps no password: where
/// RESTOREKIT_LIVE or the configuration names the same place, it is entered as they say.
pub fn again(context: &Context, shown: &str) -> String {
    if !registry::is_server(shown) {
        return shown.to_owned();
    }
    let configured = || context.config().ok().flatten().and_then(|config| config.settings.live);
    let same = |location: &String| {
        completed(location)
            .and_then(|l| registry::shown(l.expose_secret()))
            .is_ok_and(|l| l == shown)
    };
    variable("RESTOREKIT_LIVE")
        .filter(same)
        .or_else(|| configured().filter(same))
        .unwrap_or_else(|| shown.to_owned())
}
