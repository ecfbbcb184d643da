//! What a node decides, without touching the world: every function here is a pure one.

pub mod address;
pub mod capability;
pub mod device;
pub mod env;
pub mod fields;
pub mod honour;
pub mod image;
pub mod passwd;
pub mod plan;
pub mod probe;
pub mod quantity;
pub mod record;
pub mod rewrite;
pub mod spec;
pub mod status;
pub mod stored;
pub mod subid;
pub mod sysctl;
pub mod trial;
pub mod volume;
