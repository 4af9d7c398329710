//! Where Debian's packages are fetched from. This file has no addresses: they come from the user,
//! from this machine's apt configuration, or from mmdebstrap, which knows a mirror by default.
//!
//! Which of them has a suite, signed with Debian's keys, is found out by [`super::archive`].

use std::cell::OnceCell;
use std::env;
use std::process::{Command, Stdio};

use crate::run;

/// Mirrors that the user adds, separated by spaces.
pub(super) const VARIABLE: &str = "TRACER_DEBIAN_MIRROR";

/// Releases by which a mirror is recognised if apt has not fetched its lists.
const RELEASES: [&str; 5] = ["bullseye", "bookworm", "trixie", "forky", "sid"];

/// How apt is to list its sources. It reads all its formats and options itself.
const FORMAT: &str = "mirror $(REPO_URI) $(RELEASE)";

/// The mirrors to try, in this order.
#[derive(Default)]
pub(super) struct Mirrors {
    known: OnceCell<Vec<String>>,
}

impl Mirrors {
    /// All of them; found when first needed.
    pub(super) fn all(&self) -> &[String] {
        self.known.get_or_init(|| {
            let named = env::var(VARIABLE).unwrap_or_default();
            let named = named.split_whitespace().map(str::to_owned);
            without_duplicates(named.chain(configured()).chain(default()))
        })
    }
}

/// The Debian mirrors that apt is configured with on this machine.
fn configured() -> Vec<String> {
    let list = |options: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(["indextargets", "--format", FORMAT])
            .args(["Created-By: Packages", "Component: main"])
            .args(options);
        run::answer(&mut command).unwrap_or_default()
    };
    let certain = parse(&list(&["Origin: Debian", "Label: Debian"]), None);
    if certain.is_empty() {
        parse(&list(&["--no-release-info"]), Some(&RELEASES))
    } else {
        certain
    }
}

/// The mirror that mmdebstrap uses by default. It has no option that prints it, but a hook runs
/// after it has written apt's sources, and can end it there.
fn default() -> Vec<String> {
    let hook = format!(
        "APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" \
         apt-get indextargets --no-release-info --format '{FORMAT}' >&2; exit 1"
    );
    // Nothing is unpacked in either mode; newer versions refuse the second to root.
    let mode = if run::is_root() {
        "--mode=root"
    } else {
        "--mode=chrootless"
    };
    let output = Command::new("mmdebstrap")
        .args([mode, "--variant=custom", "--format=null"])
        .args([&format!("--setup-hook={hook}"), "sid", "/dev/null"])
        .stdin(Stdio::null())
        .output();
    let text = output.map(|output| output.stderr).unwrap_or_default();
    parse(&String::from_utf8_lossy(&text), Some(&["sid"]))
}

/// The addresses in lines of the form [`FORMAT`], of `releases` only if given. Other lines don't
/// count, nor do CDs, whose names have spaces.
fn parse(text: &str, releases: Option<&[&str]>) -> Vec<String> {
    let addresses = text.lines().filter_map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let ["mirror", address, release] = words[..] else {
            return None;
        };
        let wanted = releases.is_none_or(|releases| releases.contains(&release));
        wanted.then(|| address.to_owned())
    });
    without_duplicates(addresses)
}

/// Keeps the first of equal addresses; a slash at the end makes no difference.
fn without_duplicates(addresses: impl Iterator<Item = String>) -> Vec<String> {
    let mut unique = Vec::new();
    for address in addresses {
        let address = address.trim_end_matches('/').to_owned();
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What apt 2.6 prints for sources in its two formats, with options, several addresses in one
    /// entry, commented and disabled entries (which it leaves out) and a CD.
    const LISTING: &str = "\
mirror http://one.example/debian/ bookworm
mirror http://one.example/debian/ bookworm-updates
mirror https://third.example/ bookworm
mirror http://two.example/debian/ stable
mirror http://security.example/debian-security/ bookworm-security
mirror mirror+file:/etc/apt/mirrors/debian.list/ trixie
mirror cdrom://[Debian GNU/Linux 12.0.0 _Bookworm_ - Official amd64 NETINST]/ bookworm
mirror http://flat.example/repo/ ./
";

    #[test]
    fn without_fetched_lists_a_mirror_is_recognised_by_its_release() {
        assert_eq!(
            parse(LISTING, Some(&RELEASES)),
            [
                "http://one.example/debian",
                "https://third.example",
                "mirror+file:/etc/apt/mirrors/debian.list",
            ]
        );
    }

    #[test]
    fn a_source_with_debians_origin_counts_whatever_its_release_is_called() {
        let text = "mirror http://two.example/debian/ stable\n";
        assert_eq!(parse(text, None), ["http://two.example/debian"]);
    }

    #[test]
    fn messages_beside_the_listing_are_ignored() {
        let text = "I: running hook\nmirror http://a.example/debian/ sid\nE: command failed: x\n";
        assert_eq!(parse(text, Some(&["sid"])), ["http://a.example/debian"]);
        assert_eq!(parse("", None), [""; 0]);
    }

    #[test]
    fn the_first_of_equal_addresses_is_kept() {
        let addresses = ["b/", "a", "b", "a/"].map(str::to_owned);
        assert_eq!(without_duplicates(addresses.into_iter()), ["b", "a"]);
    }
}
