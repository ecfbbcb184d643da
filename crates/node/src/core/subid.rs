//! Reads `/etc/subuid` and `/etc/subgid`: which ids a user may give to its user namespaces.

/// Ids that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: u32,
    pub count: u32,
}

/// A container's ids go up to here.
const MOST: u32 = 65535;

/// The largest range of a user, by name or by number.
pub fn range(text: &str, name: Option<&str>, user: u32) -> Option<Range> {
    let number = user.to_string();
    let rows = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next().filter(|owner| Some(*owner) == name || *owner == number)?;
        let first = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        (!owner.is_empty() && count > 0).then_some(Range { first, count: count.min(MOST) })
    });
    rows.max_by_key(|range| range.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_range_of_the_user_counts() {
        let text = "root:1:9\nann:100000:65536\nann:7:8\n1001:300000:1000\nbad\n";
        assert_eq!(range(text, Some("ann"), 5), Some(Range { first: 100_000, count: 65535 }));
        assert_eq!(range(text, Some("bob"), 1001), Some(Range { first: 300_000, count: 1000 }));
        assert_eq!(range(text, None, 7), None);
    }
}
