//! Rendering to a writer: screens, JSON, CSV, SQL. Pure.
