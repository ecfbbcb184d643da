//! What a node decides, without touching the world: every function here is a pure one.

pub mod address;
pub mod capability;
pub mod cgroup;
pub mod device;
pub mod env;
pub mod evict;
pub mod fields;
pub mod history;
pub mod honour;
pub mod image;
pub mod network;
pub mod ownership;
pub mod passwd;
pub mod plan;
pub mod pressure;
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
