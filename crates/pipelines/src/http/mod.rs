//! The REST API v2beta1, and what a step's launcher asks for.
//!
//! A request comes with the identity of who asks; [`api`] finds its route, asks whether that identity may do it, and calls
//! one function of the file of its kind. Nothing here decides what becomes of a run.

pub mod api;
mod artifacts;
mod call;
pub mod experiments;
pub mod failure;
pub mod launcher;
mod limits;
mod pipelines;
mod recurring;
pub mod reply;
pub mod runs;
mod show;
pub mod source;
mod splice;
mod tasks;
mod upload;
