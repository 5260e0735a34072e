//! What may go wrong below the checkpoint store: crashes, refusals, lost answers, and other programs.
#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up fails the test")]

mod crashes;
mod interleavings;
#[path = "../fixture/noise.rs"]
mod noise;
mod silence;
mod watched;
mod world;
