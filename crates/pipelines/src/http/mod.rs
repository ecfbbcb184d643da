//! The REST API v2beta1, and what a step's launcher asks for.
//!
//! A request comes with the identity of who asks; [`api`] finds its route, asks whether that identity may do it, and calls
//! one function of the file of its kind. Nothing here decides what becomes of a run. [`launcher`] answers launchers of steps,
//! which come with tokens of their own instead of an identity.

pub mod api;
pub mod failure;
pub mod launcher;
pub mod reply;
