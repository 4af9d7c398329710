//! User names from /etc/passwd. NSS is not used, because it could block on a network.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::time::SystemTime;

const PATH: &str = "/etc/passwd";

/// The user database as it was last read.
#[derive(Debug, Default)]
pub(super) struct Users {
    names: HashMap<u32, Arc<str>>,
    modified: Option<SystemTime>,
}

impl Users {
    /// Name of `uid`. An unknown one causes the file to be read again if it has changed.
    pub(super) fn name(&mut self, uid: u32) -> Option<Arc<str>> {
        if let Some(name) = self.names.get(&uid) {
            return Some(Arc::clone(name));
        }
        let modified = fs::metadata(PATH).and_then(|file| file.modified()).ok();
        if modified != self.modified {
            self.modified = modified;
            self.names = parse(&fs::read_to_string(PATH).unwrap_or_default());
        }
        self.names.get(&uid).map(Arc::clone)
    }
}

fn parse(passwd: &str) -> HashMap<u32, Arc<str>> {
    let mut names = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1))
            && let Ok(uid) = uid.parse()
        {
            // The first entry wins, as with getpwuid().
            names.entry(uid).or_insert_with(|| name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_user_database() {
        assert_eq!(Users::default().name(0).as_deref(), Some("root"));
        assert_eq!(Users::default().name(4_000_000_000), None);
        let parsed = parse("a:x:1:1::/:/bin/sh\nb:x:1:1::/:\nbroken\n::\n");
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[&1].as_ref(), "a");
    }
}
