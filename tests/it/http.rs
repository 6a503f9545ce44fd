//! The API, route by route: what is answered to which request.

mod answers;
mod authentication;
mod budget;
pub(crate) mod description;
mod limits;
mod many;
mod refusals;
mod validation;
