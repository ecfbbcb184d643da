//! Moving from one store to another: what an export says of itself, and what of it an import adds.
//!
//! An export is an archive of these files, in this order:
//!
//! | file | is |
//! |---|---|
//! | `manifest.json` | [`Manifest`](manifest::Manifest) |
//! | `catalogue/…/N/0.jsonl` | experiments, pipelines and versions, a line each: `["TABLE", {"COLUMN": VALUE}]` |
//! | `runs/ID/N.jsonl` | the spec where no run before has it, the run, its tasks, and what belongs to it, as lines |
//! | `runs/ID/objects/NAME` | what the run's steps have put into the store of artifacts, and their logs |
//! | `cache/N/0.jsonl` | what the cache knows |
//! | `recurring/N/0.jsonl` | recurring runs, after all that they are of and that they have made |
//! | `…/sum` | SHA-256 of all that stands before it: after each run, and after each other file of lines |
//! | `end/sum` | the last of them: without it the archive is cut short |
//!
//! What of a run is recorded is read at one time, and its objects after that: a step's bytes are kept before it is recorded
//! that it has ended.
//!
//! * [`manifest`]: what is in an export.
//! * [`plan`]: what of it is new where it goes, what is there already, and what cannot be.

pub mod manifest;
pub mod plan;
