//! Differential tests: random cases through our code and through the real Kubernetes libraries.
//!
//! The libraries answer through the Go program in `conformance/oracle`. Each subject has a module with
//! `run(oracle, cases, seed)`. `FERROFLOW_ORACLE_CASES` and `FERROFLOW_ORACLE_SEED` change the number of
//! fresh cases and where they start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cel;
mod cel_cases;
mod cel_expressions;
mod cel_operands;
mod crd;
mod crd_cases;
mod crd_definitions;
mod driver;
mod quantity;
mod selector;
mod situations;
mod ssa;
mod ssa_objects;
mod strategic;
mod strategic_cases;

use driver::{Oracle, Tally};

/// Fresh cases of each subject in `make test`.
const CASES: usize = 10_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn check(subject: &str, run: fn(&mut Oracle, usize, u64) -> Tally) {
    let cases = usize::try_from(setting("FERROFLOW_ORACLE_CASES", CASES as u64)).unwrap();
    let seed = setting("FERROFLOW_ORACLE_SEED", 1);
    match Oracle::start() {
        Ok(mut oracle) => run(&mut oracle, cases, seed).finish(subject),
        Err(reason) => println!("{subject}: 0 passed, 0 failed, {cases} skipped: {reason}"),
    }
}

#[test]
fn server_side_apply_agrees_with_the_real_library() {
    check("ssa", ssa::run);
}

#[test]
fn strategic_merge_patches_agree_with_the_real_library() {
    check("strategic", strategic::run);
}

#[test]
fn quantities_agree_with_the_real_library() {
    check("quantity", quantity::run);
}

#[test]
fn selectors_agree_with_the_real_library() {
    check("selector", selector::run);
}

#[test]
fn custom_resources_agree_with_the_real_library() {
    check("crd", crd::run);
}

#[test]
fn rules_agree_with_the_real_library() {
    check("cel", cel::run);
}
