//! The deletion protocol: claim, drain, count, finish, takeover, hand-off.

mod claim;
mod cost;
mod deletion;
mod fence;
mod model;
mod pace;
mod ranges;
mod slices;
mod takeover;
