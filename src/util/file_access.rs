//! Who else can read or change a file that holds secrets.

use rustix::process::{getegid, geteuid, getgroups};
use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

/// What is wrong with the owner and the mode of a file, and how to mend it. `None` if nothing is.
///
/// # Errors
///
/// If the file can't be looked at.
pub fn exposure(path: &Path) -> io::Result<Option<String>> {
    let data = fs::metadata(path)?;
    let owner = Owner {
        user: data.uid(),
        group: data.gid(),
        mode: data.mode() & 0o777,
    };
    let mut groups: Vec<_> = getgroups()?.iter().map(|group| group.as_raw()).collect();
    groups.push(getegid().as_raw());
    Ok(owner.exposure(path, geteuid().as_raw(), &groups))
}

/// The owner of a file.
struct Owner {
    user: u32,
    group: u32,
    mode: u32,
}

impl Owner {
    /// See [`exposure`], for a process of this user and in these groups. A group of its own may read the file, because Kubernetes gives
    /// the files of a volume to the group of the pod (`fsGroup`).
    fn exposure(&self, path: &Path, user: u32, groups: &[u32]) -> Option<String> {
        let path = path.display();
        if self.user != user {
            let owner = self.user;
            return Some(format!(
                "{path} belongs to user {owner}, who can read and replace it, and the bridge is user {user}; give it to the bridge's user \
                 (chown {user} {path})"
            ));
        }
        let of_strangers = match groups.contains(&self.group) {
            true => 0o007,
            false => 0o077,
        };
        (self.mode & of_strangers != 0).then(|| {
            let mode = self.mode;
            format!(
                "{path} can be read or changed by other users, with mode {mode:o}; take that from them (chmod 600 {path})"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    #[test]
    fn a_file_of_another_user_or_that_others_can_read_is_exposed() {
        for (user, group, mode, said) in [
            (7, 8, 0o600, None),
            (7, 8, 0o660, None),
            (7, 9, 0o660, None),
            (7, 10, 0o700, None),
            (7, 10, 0o640, Some("with mode 640")),
            (7, 8, 0o604, Some("with mode 604")),
            (7, 8, 0o602, Some("with mode 602")),
            (7, 8, 0o644, Some("can be read or changed by other users")),
            (0, 8, 0o600, Some("belongs to user 0")),
            (1_000, 8, 0o644, Some("chown 7 f")),
        ] {
            let owner = Owner { user, group, mode };
            let found = owner.exposure(Path::new("f"), 7, &[8, 9]);
            let found = found.as_deref();
            match said {
                None => assert_eq!(found, None, "{user} {group} {mode:o}"),
                Some(said) => assert!(found.is_some_and(|found| found.contains(said)), "{found:?}"),
            }
        }
    }

    #[test]
    fn a_real_file_is_looked_at() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path();
        assert_eq!(exposure(path).expect("looked at"), None);
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("changed");
        let found = exposure(path).expect("looked at").expect("exposed");
        assert!(found.contains("mode 644"), "{found}");
    }
}
