//! A verdict as text for a terminal.

use anstyle::{AnsiColor, Color, Style};

use super::model::Verdict;
use super::sentences::Tone;
use crate::cell::{SENTENCE_COLUMNS, cell, push};

/// Widest headline: it has the command.
const HEADLINE_COLUMNS: usize = 400;
/// Columns of a service's name.
const ABOUT_COLUMNS: usize = 16;
const INDENT: usize = 3;

/// The lines of a verdict, escaped.
pub fn text(verdict: &Verdict, colour: bool) -> String {
    let style = |tone| colour.then(|| style(tone)).flatten();
    let mut text = String::with_capacity(1024);
    let headline = verdict.headline();
    push(&mut text, "── ", None, INDENT);
    push(
        &mut text,
        &cell(&headline.what, HEADLINE_COLUMNS),
        style(headline.tone),
        0,
    );
    text.push('\n');
    let mut about = String::new();
    for line in verdict.lines() {
        // A service's name only on the first of its lines.
        let shown = if line.about == about { "" } else { &line.about };
        push(&mut text, "", None, INDENT);
        if !line.about.is_empty() {
            push(
                &mut text,
                &cell(shown, ABOUT_COLUMNS - 1),
                None,
                ABOUT_COLUMNS,
            );
        }
        push(
            &mut text,
            &cell(&line.what, SENTENCE_COLUMNS),
            style(line.tone),
            0,
        );
        text.push('\n');
        about = line.about;
    }
    text
}

fn style(tone: Tone) -> Option<Style> {
    let colour = match tone {
        Tone::Bad => AnsiColor::Red,
        Tone::Good => AnsiColor::Green,
        Tone::Plain => return None,
    };
    Some(Style::new().bold().fg_color(Some(Color::Ansi(colour))))
}
