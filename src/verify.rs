//! Live against an operation's images, and a backup against its digests.
