//! The scheduled clean-up and retention.

mod isolation;
mod retention;
mod runs;
