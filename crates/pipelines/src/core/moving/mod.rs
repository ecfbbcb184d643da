//! Moving from one store to another: what an export says of itself, and what of it an import adds.
//!
//! An export is an archive of these files, in this order:
//!
//! | file | is |
//! |---|---|
//! | `manifest.json` | [`Manifest`](manifest::Manifest) |
//! | `catalogue/N.jsonl` | experiments, pipelines, versions and recurring runs, a line each: `["TABLE", {"COLUMN": VALUE}]` |
//! | `runs/ID/objects/NAME` | what the run's steps have put into the store of artifacts, and their logs |
//! | `runs/ID/N.jsonl` | its tasks, the run with its spec, and what belongs to it, as lines |
//! | `…/sum` | SHA-256 of all that stands before it: after the catalogue, and after each run |
//!
//! * [`manifest`]: what is in an export.
//! * [`plan`]: what of it is new where it goes, what is there already, and what cannot be.

pub mod manifest;
pub mod plan;
