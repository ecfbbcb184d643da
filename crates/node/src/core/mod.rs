//! What a node decides, without touching the world: every function here is a pure one.

pub mod address;
pub mod device;
pub mod dns;
pub mod env;
pub mod etc;
pub mod fields;
pub mod honour;
pub mod image;
pub mod network;
pub mod plan;
pub mod probe;
pub mod quantity;
pub mod record;
pub mod rewrite;
pub mod services;
pub mod spec;
pub mod status;
pub mod volume;
