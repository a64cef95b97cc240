//! The one error a person sees: what failed, on which side, and what to type next.
//!
//! Modules whose callers must branch on a failure (the SQLite codes, say) keep a typed
//! error of their own and turn it into this one at their edge. Nothing here prints or
//! exits: [`Kind::exit_code`] only says what a program should do with it.

use std::error::Error as StdError;
use std::fmt;

/// Shorthand for results that end in a user-facing [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an error means for the data, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line, a name in it or a configuration value is wrong.
    Usage,
    /// Something failed and nothing was written.
    Failed,
    /// Stopped part way; `apply --resume` goes on.
    Stopped,
    /// A safety check refused.
    Refused,
    /// A commit was sent and its outcome could not be found out.
    Unknown,
    /// The backup is damaged or incomplete.
    Damaged,
    /// The user interrupted; the current batch was finished or rolled back.
    Interrupted,
}

impl Kind {
    /// The process exit code of this kind of error.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage | Kind::Failed => 2,
            Kind::Stopped => 4,
            Kind::Refused => 5,
            Kind::Unknown => 6,
            Kind::Damaged => 7,
            Kind::Interrupted => 130,
        }
    }
}

/// What a caller may try besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// The same again.
    Passing,
    /// Another password.
    Denied,
    /// Other rows.
    Unfit,
}

/// A user-facing error: kind, message, hints (the next command to type) and cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    nature: Option<Nature>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what failed and on which side.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), nature: None, source: None }
    }

    /// Wrong usage (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A failure with nothing written (exit code 2).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// A safety check refused (exit code 5).
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// The backup is damaged or incomplete (exit code 7).
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, message)
    }

    /// Adds a hint: a next step, best a command to type.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says that the same may well go through when it is tried again at once with a fresh
    /// read: a deadlock, a serialization failure.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.nature = Some(Nature::Passing);
        self
    }

    /// True for a failure that passes.
    pub fn is_passing(&self) -> bool {
        self.nature == Some(Nature::Passing)
    }

    /// Says that a server let nobody in with the password, or without one.
    #[must_use]
    pub fn denied(mut self) -> Self {
        self.nature = Some(Nature::Denied);
        self
    }

    /// True where another password might open the door.
    pub fn is_denied(&self) -> bool {
        self.nature == Some(Nature::Denied)
    }

    /// Says that one row of a backup holds a value that live's column can't hold.
    #[must_use]
    pub fn unfit(mut self) -> Self {
        self.nature = Some(Nature::Unfit);
        self
    }

    /// True where other rows of the backup may well be read.
    pub fn is_unfit(&self) -> bool {
        self.nature == Some(Nature::Unfit)
    }

    /// Replaces the kind, keeping message, hints and cause.
    #[must_use]
    pub fn as_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The same in other words: message, hints, and the causes as text.
    #[must_use]
    pub fn reworded(self, words: impl Fn(&str) -> String) -> Self {
        let cause = self.source.map(|cause| words(&causes(&*cause)).into());
        Self {
            message: words(&self.message),
            hints: self.hints.iter().map(|hint| words(hint)).collect(),
            source: cause,
            ..self
        }
    }

    /// What the error means for the data.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The hints, in the order they were given.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::failed("a file or stream could not be read or written").because(e)
    }
}

/// An error and those that caused it, in a line.
fn causes(e: &(dyn StdError + 'static)) -> String {
    let mut text = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// DataFusion carries our own errors through its plans as `External`; they come out whole.
impl From<datafusion::error::DataFusionError> for Error {
    fn from(e: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError as D;
        match e {
            D::External(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::failed("the query engine failed").because(other),
            },
            D::Context(context, inner) => match Error::from(*inner) {
                ours if ours.source.is_none() => ours,
                wrapped => Error { message: format!("{}: {context}", wrapped.message), ..wrapped },
            },
            D::ArrowError(inner, _) => Error::from(*inner),
            D::Shared(inner) => match std::sync::Arc::try_unwrap(inner) {
                Ok(owned) => Error::from(owned),
                Err(shared) => Error::from_shared(&shared),
            },
            other => Error::failed("the query engine failed").because(other),
        }
    }
}

impl Error {
    /// A copy of one of our errors that DataFusion shares between partitions; the cause
    /// is kept as text, since it can't be cloned.
    fn from_shared(e: &datafusion::error::DataFusionError) -> Self {
        if let datafusion::error::DataFusionError::External(inner) = e
            && let Some(ours) = inner.downcast_ref::<Error>()
        {
            return Self {
                kind: ours.kind,
                message: ours.message.clone(),
                hints: ours.hints.clone(),
                nature: ours.nature,
                source: ours.source.as_ref().map(|s| s.to_string().into()),
            };
        }
        Error::failed("the query engine failed").because(e.to_string())
    }
}

impl From<Error> for datafusion::error::DataFusionError {
    fn from(e: Error) -> Self {
        datafusion::error::DataFusionError::External(Box::new(e))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        match e {
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::failed("a column could not be computed").because(other),
            },
            other => Error::failed("a column could not be computed").because(other),
        }
    }
}
