//! Names as words of a shell's command line, so that a command in advice runs as it is.

use std::borrow::Cow;

/// The name, in single quotes where the shell would take something in it for its own.
pub(super) fn shell_word(name: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "_@%+=:,./-".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        return name.into();
    }
    format!("'{}'", name.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_shell_would_take_apart_are_quoted() {
        assert_eq!(shell_word("worker@2.service"), "worker@2.service");
        assert_eq!(shell_word("queue:queue_00"), "queue:queue_00");
        assert_eq!(shell_word("shop api"), "'shop api'");
        assert_eq!(shell_word(r"app\x2dweb.service"), r"'app\x2dweb.service'");
        assert_eq!(shell_word("it's; reboot"), r"'it'\''s; reboot'");
        assert_eq!(shell_word("$(reboot)"), "'$(reboot)'");
    }
}
