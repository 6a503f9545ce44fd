//! Faults: kills, races, lost, late and repeated requests.

mod interleavings;
mod kill;
mod late;
mod processes;
mod races;
mod random;
