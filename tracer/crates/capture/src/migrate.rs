//! Captures of older versions: a table of migrations.
//!
//! Most changes need no row: a new field has its default in older captures, a removed one is skipped,
//! and a number is never used twice. A row is for a field whose meaning changed or that moved. Whoever
//! adds a row adds a sample of the previous version to the tests.

use super::format::VERSION;
use super::wire::{Event, Header};

/// Converts one version to the next.
struct Migration {
    /// The older version.
    from: u8,
    header: fn(&mut Header),
    event: fn(&mut Event),
}

/// The oldest version that can be read.
pub(super) const OLDEST: u8 = 1;

/// One row for every version but the newest, in order.
const MIGRATIONS: [Migration; (VERSION - OLDEST) as usize] = [];

/// Converts a header of `version` to the newest version.
pub(super) fn header(version: u8, header: &mut Header) {
    for migration in due(&MIGRATIONS, version) {
        (migration.header)(header);
    }
}

/// Converts an event of `version` to the newest version.
pub(super) fn event(version: u8, event: &mut Event) {
    for migration in due(&MIGRATIONS, version) {
        (migration.event)(event);
    }
}

fn due(table: &[Migration], version: u8) -> impl Iterator<Item = &Migration> {
    table
        .iter()
        .filter(move |migration| migration.from >= version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_version_in_order() {
        let from: Vec<u8> = MIGRATIONS.iter().map(|row| row.from).collect();
        assert_eq!(from, (OLDEST..VERSION).collect::<Vec<_>>());
    }

    #[test]
    fn an_old_event_gets_every_later_migration() {
        fn twice(event: &mut Event) {
            event.after_ns *= 2;
        }
        fn plus_one(event: &mut Event) {
            event.after_ns += 1;
        }
        let row = |from, event| Migration {
            from,
            header: |_| (),
            event,
        };
        let table = [row(1, twice as fn(&mut Event)), row(2, plus_one)];
        for (version, expected) in [(1, 21), (2, 11), (3, 10)] {
            let mut event = Event::default();
            event.after_ns = 10;
            for migration in due(&table, version) {
                (migration.event)(&mut event);
                (migration.header)(&mut Header::default());
            }
            assert_eq!(event.after_ns, expected, "from version {version}");
        }
    }
}
