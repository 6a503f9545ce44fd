//! The terminal.

mod operator;
mod terminal;
