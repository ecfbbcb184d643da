//! The program that runs inside a step's pod: it fetches what the step reads, runs it, and hands in what it made.

fn main() {}
