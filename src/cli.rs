//! The command line: arguments, configuration, one file a command.
