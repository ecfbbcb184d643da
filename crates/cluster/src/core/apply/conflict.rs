//! What apply answers when it cannot: conflicts with other managers, and requests that make no sense.

use super::element::Element;
use super::fieldset::{Set, path_text};
use super::managed::Identity;

/// A path that another manager owns with another value.
#[derive(Clone, Debug)]
pub struct Conflict<'a> {
    /// The other manager.
    pub identity: Identity,
    /// What it owns.
    pub path: Vec<Element<'a>>,
}

/// One item of `Status.details.causes`; its type is `FieldManagerConflict`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `conflict with "kubectl" using v1`
    pub message: String,
    /// `.spec.replicas`
    pub field: String,
}

/// Why apply failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// 409 with reason `Conflict`.
    #[error("{message}")]
    Conflict {
        /// All conflicts in one text.
        message: String,
        /// One a conflict.
        causes: Vec<Cause>,
    },
    /// 400 with reason `BadRequest`.
    #[error("{0}")]
    BadRequest(String),
    /// 500 without a reason: how upstream answers a configuration that does not fit the schema.
    #[error("{0}")]
    Internal(String),
}

/// The conflicts of one manager's set.
pub fn conflicts_of<'a>(identity: &Identity, set: &Set<'a>, conflicts: &mut Vec<Conflict<'a>>) {
    set.each(&mut |path| conflicts.push(Conflict { identity: identity.clone(), path: path.to_vec() }));
}

/// The answer to conflicts, managers in the order of their identity.
pub fn conflict_error(mut conflicts: Vec<Conflict<'_>>) -> ApplyError {
    conflicts.sort_by_cached_key(|conflict| conflict.identity.text());
    let causes = conflicts
        .iter()
        .map(|conflict| Cause {
            message: format!("conflict with {}", conflict.identity.description()),
            field: path_text(&conflict.path),
        })
        .collect();
    ApplyError::Conflict { message: conflict_message(&conflicts), causes }
}

fn conflict_message(conflicts: &[Conflict<'_>]) -> String {
    if let [only] = conflicts {
        let manager = only.identity.description();
        return format!("Apply failed with 1 conflict: conflict with {manager}: {}", path_text(&only.path));
    }
    let mut lines: Vec<String> = Vec::new();
    let mut previous = None;
    for conflict in conflicts {
        if previous != Some(&conflict.identity) {
            lines.push(format!("conflicts with {}:", conflict.identity.description()));
            previous = Some(&conflict.identity);
        }
        lines.push(format!("- {}", path_text(&conflict.path)));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
