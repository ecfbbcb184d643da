//! Who a container runs as: `USER` of an image, and the names in its own `/etc/passwd` and `/etc/group`.

/// A user in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub user: u32,
    pub group: u32,
    /// Groups beside the first one.
    pub supplementary: Vec<u32>,
    /// The home that the image says, if it knows the user.
    pub home: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// `runAsUser` and `runAsGroup`.
    pub user: Option<u32>,
    pub group: Option<u32>,
    /// Groups that the pod adds.
    pub supplementary: &'a [u32],
    /// The image's `USER`.
    pub image: &'a str,
}

struct User<'a> {
    name: &'a str,
    id: u32,
    group: u32,
    home: &'a str,
}

/// Finds the user that is wanted; `passwd` and `group` are the texts of the image's files.
///
/// # Errors
/// When a name is in neither file, in the words of a container runtime.
pub fn resolve(wanted: Wanted<'_>, passwd: &str, group: &str) -> Result<Identity, String> {
    let (image_user, image_group) = wanted.image.split_once(':').unwrap_or((wanted.image, ""));
    let known = match (wanted.user, image_user) {
        (Some(id), _) => Ok(id),
        (None, "") => Ok(0),
        (None, text) => text.parse::<u32>().map_err(|_| text),
    };
    let user = match known {
        Ok(id) => users(passwd).find(|user| user.id == id),
        Err(name) => {
            let found = users(passwd).find(|user| user.name == name);
            Some(found.ok_or_else(|| format!("unable to find user {name}: no matching entries in passwd file"))?)
        }
    };
    let id = known.ok().or(user.as_ref().map(|user| user.id)).unwrap_or(0);
    let own_group = user.as_ref().map_or(0, |user| user.group);
    // A group of the image's belongs to the image's user.
    let image_group = if wanted.user.is_some() { "" } else { image_group };
    let first = match (wanted.group, image_group) {
        (Some(group), _) => group,
        (None, "") => own_group,
        (None, text) => match text.parse() {
            Ok(number) => number,
            Err(_) => groups(group)
                .find(|row| row.0 == text)
                .map(|row| row.1)
                .ok_or_else(|| format!("unable to find group {text}: no matching entries in group file"))?,
        },
    };
    let mut supplementary = wanted.supplementary.to_vec();
    if let Some(user) = &user {
        let has = |members: &str| members.split(',').any(|member| member == user.name);
        supplementary.extend(groups(group).filter(|row| has(row.2)).map(|row| row.1));
    }
    supplementary.sort_unstable();
    supplementary.dedup();
    let home = user.map(|user| user.home.to_owned()).filter(|home| !home.is_empty());
    Ok(Identity { user: id, group: first, supplementary, home })
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, group, _, home, ..] = fields.as_slice() else { return None };
        Some(User { name, id: id.parse().ok()?, group: group.parse().ok()?, home })
    })
}

/// Name, number, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, members, ..] = fields.as_slice() else { return None };
        Some((*name, id.parse().ok()?, *members))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nbad\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:40:web,other\n";

    fn of(image: &str, user: Option<u32>, group: Option<u32>) -> Result<(u32, u32, Vec<u32>), String> {
        let wanted = Wanted { user, group, supplementary: &[2000], image };
        resolve(wanted, PASSWD, GROUP).map(|found| (found.user, found.group, found.supplementary))
    }

    #[test]
    fn users_are_named_or_numbered() {
        let rows = [
            ("", (0, 0, vec![2000])),
            ("web", (33, 34, vec![40, 2000])),
            ("33", (33, 34, vec![40, 2000])),
            ("web:logs", (33, 40, vec![40, 2000])),
            ("1000:7", (1000, 7, vec![2000])),
            ("1000", (1000, 0, vec![2000])),
        ];
        for (image, expect) in rows {
            assert_eq!(of(image, None, None), Ok(expect), "{image:?}");
        }
    }

    #[test]
    fn the_pod_has_the_last_word() {
        assert_eq!(of("web:logs", Some(1000), None), Ok((1000, 0, vec![2000])));
        assert_eq!(of("web", Some(33), Some(9)), Ok((33, 9, vec![40, 2000])));
    }

    #[test]
    fn names_that_nobody_knows_are_refused() {
        assert_eq!(
            of("ghost", None, None).unwrap_err(),
            "unable to find user ghost: no matching entries in passwd file"
        );
        assert!(of("web:ghosts", None, None).unwrap_err().starts_with("unable to find group ghosts"));
    }

    #[test]
    fn a_home_is_that_of_the_image() {
        let wanted = Wanted { image: "web", ..Wanted::default() };
        assert_eq!(resolve(wanted, PASSWD, GROUP).unwrap().home.as_deref(), Some("/srv"));
    }
}
