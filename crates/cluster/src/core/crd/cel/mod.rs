//! The Common Expression Language as the rules of custom resources use it: parser, type checker,
//! cost estimate, interpreter and the Kubernetes function libraries.
//!
//! It follows cel-go 0.26 in what it accepts, what it answers, what it costs and how it words a fault,
//! because all four are visible to whoever writes a rule. Expressions see the variables that they are given
//! (`self` and `oldSelf`; in admission `object`, `request` and others), never the server, the clock or another object.

pub mod aggregate;
pub mod ast;
mod attribute;
pub mod authorizer;
pub mod check;
pub mod cost;
mod cost_size;
mod data;
pub mod decl;
pub mod eval;
pub mod functions;
pub mod lexer;
pub mod library;
mod library_cost;
mod literals;
pub mod macros;
pub mod opaque;
pub mod parser;
mod place;
pub mod plan;
pub mod rules;
pub mod types;
pub mod value;

#[cfg(test)]
mod tests;
