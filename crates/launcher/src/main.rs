//! The program that runs inside a step's pod: it fetches what the step reads, runs it, and hands in what it made.

mod front;
#[allow(dead_code, reason = "what runs the step's program is yet to come")]
mod large;

fn main() {
    front::run();
}
