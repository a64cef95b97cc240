//! What a look at a set-up finds: one check, how it went, what to do about it.

use serde::Serialize;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Works, but a person should know.
    Warning,
    /// Something will not work.
    Bad,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `live`, `journal`, `snapshot age`.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found, in words.
    pub found: String,
    /// What to do about it, best a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Check {
    /// A check without advice.
    pub fn new(name: &str, outcome: Outcome, found: impl Into<String>) -> Self {
        Self { name: name.into(), outcome, found: found.into(), advice: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}
