//! What is deployed: the template, and what the functions log.

mod documentation;
mod logs;
mod metrics;
mod template;
