//! The terminal.

mod doctor;
mod operator;
mod output;
mod settings;
mod terminal;
