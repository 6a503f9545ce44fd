//! The terminal.

mod doctor;
mod local_s3;
mod many;
mod operator;
mod output;
mod page;
mod settings;
mod terminal;
