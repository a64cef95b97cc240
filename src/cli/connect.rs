//! Opening what a person named, with what the engine's own clients would add to it: a
//! password is best kept in their files (~/.my.cnf). Where none is given and the server wants
//! one, the person at the terminal is asked, once for each place.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use inquire::{InquireError, Password, PasswordDisplayMode};
use secrecy::{ExposeSecret, SecretString};

use crate::backup::detect::Live;
use crate::cli::{Context, secret, variable};
use crate::error::{Error, Kind, Result};
use crate::registry::{self, Location, default_parallelism};
use crate::report::text::escape;
use crate::source::Source;
use crate::target::{Replica, Target};

/// The passwords that were typed, by the place that they open.
#[derive(Default)]
pub struct Passwords(Mutex<HashMap<String, SecretString>>);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, SecretString>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A location with the user, password and place that the environment and the option files
/// of its engine's clients give where it names none.
pub fn completed(location: &str) -> Result<SecretString> {
    registry::complete(location, &variable)
}

/// The live database that a location names, without opening it; none where it can't be told.
pub fn told(location: &str) -> Option<Live> {
    let location = match Location::parse(location).ok()?.path() {
        Some(path) => path.canonicalize().ok()?.into_os_string().into_string().ok()?,
        None => registry::shown(completed(location).ok()?.expose_secret()).ok()?,
    };
    Some(Live { host: host(), location })
}

/// The name of this host.
pub fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Opens live for reading.
pub async fn live(context: &Context, location: &str) -> Result<Arc<dyn Source>> {
    let open = async |location: &str| registry::open_live(location, default_parallelism()).await;
    enter(context, location, open).await
}

/// Opens live to be written to.
pub async fn target(context: &Context, location: &str) -> Result<Box<dyn Target>> {
    enter(context, location, async |location: &str| registry::open_target(location).await).await
}

/// Opens a replica of live.
pub async fn replica(context: &Context, location: &str) -> Result<Box<dyn Replica>> {
    enter(context, location, async |location: &str| registry::open_replica(location).await).await
}

/// Opens what a location names, completed, as `open` does.
///
/// # Errors
/// What `open` says; `Interrupted` when the question for a password was left.
pub async fn enter<T>(
    context: &Context,
    location: &str,
    open: impl AsyncFn(&str) -> Result<T>,
) -> Result<T> {
    let complete = completed(location)?;
    if !registry::is_server(location) || secret::has_password(complete.expose_secret()) {
        return open(complete.expose_secret()).await;
    }
    let place = registry::shown(complete.expose_secret())?;
    let known = context.passwords.lock().get(&place).cloned();
    if let Some(password) = known {
        let complete = registry::with_password(complete.expose_secret(), &password)?;
        return open(complete.expose_secret()).await;
    }
    match open(complete.expose_secret()).await {
        Err(e) if e.is_denied() && context.terminal.interactive => {}
        done => return done,
    }
    let password = ask(context, &place)?;
    let complete = registry::with_password(complete.expose_secret(), &password)?;
    let opened = open(complete.expose_secret()).await?;
    context.passwords.lock().insert(place, password);
    Ok(opened)
}

/// Asks for the password of a place; what is typed is not shown.
fn ask(context: &Context, place: &str) -> Result<SecretString> {
    if !context.terminal.err.color {
        inquire::set_global_render_config(inquire::ui::RenderConfig::empty());
    }
    let question = format!("Password for {}:", escape(place));
    let typed = Password::new(&question)
        .without_confirmation()
        .with_display_mode(PasswordDisplayMode::Hidden)
        .prompt();
    match typed {
        Ok(password) => Ok(password.into()),
        Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => {
            Err(Error::new(Kind::Interrupted, "interrupted: nothing was read or written"))
        }
        Err(e) => Err(Error::failed("the password could not be asked for").because(e)),
    }
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
    context
        .variable("RESTOREKIT_LIVE")
        .filter(same)
        .or_else(|| configured().filter(same))
        .unwrap_or_else(|| shown.to_owned())
}
