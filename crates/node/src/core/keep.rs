//! Which of the environments that are kept are removed, when there are more than there may be.

/// Environments that are kept: a team's pipelines have tens of requirement sets, and each release of the client doubles
/// them once.
pub const MOST: usize = 100;
/// Bytes that they may take together: ten of the largest kind, with a deep-learning framework in each.
pub const MOST_BYTES: u64 = 40 << 30;

/// An environment that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub name: String,
    pub size_bytes: u64,
    /// Seconds since 1970.
    pub used_s: i64,
    pub in_use: bool,
}

/// The names of those that go, so that the rest is within the bounds: those used longest ago first, none that is in use.
pub fn surplus(mut all: Vec<Kept>, most: usize, most_bytes: u64) -> Vec<String> {
    all.sort_by(|one, other| (one.used_s, &one.name).cmp(&(other.used_s, &other.name)));
    let (mut count, mut bytes) = (all.len(), all.iter().map(|one| one.size_bytes).fold(0, u64::saturating_add));
    let mut gone = Vec::new();
    for one in all.into_iter().filter(|one| !one.in_use) {
        if count <= most && bytes <= most_bytes {
            break;
        }
        count -= 1;
        bytes = bytes.saturating_sub(one.size_bytes);
        gone.push(one.name);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_used_longest_ago_go_and_none_that_is_in_use() {
        let kept = |name: &str, size_bytes, used_s, in_use| Kept { name: name.to_owned(), size_bytes, used_s, in_use };
        let all = vec![
            kept("new", 10, 9, false),
            kept("old", 10, 1, false),
            kept("used", 10, 0, true),
            kept("mid", 10, 5, false),
        ];
        for (most, most_bytes, gone) in [
            (4, 40, ""),
            (3, 40, "old"),
            (4, 39, "old"),
            (4, 15, "old mid new"),
            (0, 0, "old mid new"),
            (2, 40, "old mid"),
        ] {
            assert_eq!(surplus(all.clone(), most, most_bytes).join(" "), gone, "{most} {most_bytes}");
        }
    }
}
