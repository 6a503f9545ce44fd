//! What is deployed: the template, and what the functions log.

mod logs;
mod template;
