//! The scheduled clean-up and retention.

mod retention;
mod runs;
