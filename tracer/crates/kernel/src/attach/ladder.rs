//! Goes down a ladder: attaches the best rung that works, and keeps why better ones did not.

use tracer_model::Hook;

use crate::error::Failure;
use crate::plan::Ladder;

/// The rung that was attached.
pub(super) struct Taken<R, L> {
    pub(super) rung: R,
    /// What keeps it attached.
    pub(super) links: L,
    /// Why no better rung was.
    pub(super) why: Vec<String>,
}

/// Attaches the first rung that works. When none does, returns why.
pub(super) fn descend<R: Copy, L>(
    ladder: &Ladder<R>,
    via: impl Fn(R) -> &'static str,
    mut attach: impl FnMut(R) -> Result<L, Failure>,
) -> Result<Taken<R, L>, Vec<String>> {
    let mut why = ladder.why_not.clone();
    for &rung in &ladder.rungs {
        match attach(rung) {
            Ok(links) => return Ok(Taken { rung, links, why }),
            Err(failure) => why.push(format!("{}: {}", via(rung), failure.what)),
        }
    }
    Err(why)
}

/// The hook as shown in findings; without `via`, it could not be attached.
pub(super) fn hook(name: &str, via: Option<&str>, why: &[String]) -> Hook {
    Hook {
        name: name.into(),
        via: via.map(Into::into),
        ok: via.is_some(),
        why: (!why.is_empty()).then(|| why.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(rung: u8) -> &'static str {
        ["best", "middle", "last"][usize::from(rung)]
    }

    #[test]
    fn the_first_rung_that_works_is_taken_and_failures_above_it_are_kept() {
        let ladder = Ladder {
            rungs: vec![1, 2],
            why_not: vec!["best is missing".into()],
        };
        let taken = descend(&ladder, name, |rung| match rung {
            2 => Ok(()),
            _ => Err(Failure::new("refused")),
        });
        let taken = taken.unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(taken.rung, 2);
        assert_eq!(taken.why, ["best is missing", "middle: refused"]);
    }

    #[test]
    fn when_no_rung_works_every_reason_is_returned() {
        let ladder = Ladder {
            rungs: vec![0, 1],
            why_not: Vec::new(),
        };
        let taken = descend(&ladder, name, |_| Err::<(), _>(Failure::new("refused")));
        let why = taken.err();
        assert_eq!(why.unwrap(), ["best: refused", "middle: refused"]);
    }
}
