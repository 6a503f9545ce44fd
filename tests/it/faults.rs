//! Faults: kills, races, lost, late and repeated requests.

mod bucket;
mod interleavings;
mod kill;
mod late;
mod processes;
mod races;
mod random;
