//! Opens captures and reads them as one stream, oldest first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::PathBuf;

use tracer_model::WallTime;

use super::follow::Follow;
use super::reader::{Item, ReadError, Reader};

/// Where a capture comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// Which capture can't be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}: {error}")]
pub struct SourceError {
    /// As the user named it.
    pub name: Box<str>,
    /// The reason.
    pub error: ReadError,
}

/// Captures that are read one after the other.
pub struct Sources {
    waiting: VecDeque<Opened>,
    current: Option<Reader<Box<dyn Read>>>,
    /// The name of the current source, or of the last one.
    name: Box<str>,
}

/// A source and its place in the order: when its recording began, its session and its file number.
struct Opened {
    name: Box<str>,
    order: Option<(WallTime, u64, u32)>,
    source: Box<dyn Read>,
}

impl Sources {
    /// Opens all sources, so that a missing one is reported at once. With `follow`, files are read until
    /// their writer stops.
    pub fn open(sources: &[Source], follow: bool) -> Result<Self, SourceError> {
        let mut opened = Vec::new();
        for source in sources {
            let (name, result) = match source {
                Source::Stdin => {
                    let stdin: Box<dyn Read> = Box::new(io::stdin().lock());
                    ("standard input".into(), Ok((stdin, None)))
                }
                Source::File(path) => (path.display().to_string(), file(path, follow)),
            };
            let name: Box<str> = name.into();
            match result {
                Ok((source, order)) => opened.push(Opened {
                    name,
                    order,
                    source,
                }),
                Err(error) => return Err(SourceError { name, error }),
            }
        }
        // Sources without a readable header come first, in the user's order.
        opened.sort_by_key(|opened| opened.order);
        Ok(Self {
            waiting: opened.into(),
            current: None,
            name: "".into(),
        })
    }

    /// The next item of any source; None at the end.
    pub fn next_item(&mut self) -> Result<Option<Item>, SourceError> {
        loop {
            let result = if let Some(reader) = &mut self.current {
                reader.next_item()
            } else if let Some(next) = self.waiting.pop_front() {
                self.name = next.name;
                match Reader::new(next.source) {
                    Ok(reader) => self.current.insert(reader).next_item(),
                    Err(error) => Err(error.into()),
                }
            } else {
                return Ok(None);
            };
            match result {
                Ok(Some(item)) => return Ok(Some(item)),
                Ok(None) => self.current = None,
                Err(error) => {
                    self.current = None;
                    let name = self.name.clone();
                    return Err(SourceError { name, error });
                }
            }
        }
    }

    /// The source of the last item, as the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

type Openable = (Box<dyn Read>, Option<(WallTime, u64, u32)>);

fn file(path: &PathBuf, follow: bool) -> Result<Openable, ReadError> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ReadError::Directory);
    }
    if !metadata.is_file() {
        return Ok((Box::new(file), None));
    }
    let mut reader = Reader::new(&file)?;
    let order = loop {
        match reader.next_item() {
            Ok(Some(Item::Header(header))) => {
                break Some((header.machine.clock.wall, header.session, header.file));
            }
            Ok(Some(Item::Damage(_))) => {}
            // Whatever is wrong is reported when the file is read.
            _ => break None,
        }
    };
    drop(reader);
    file.rewind()?;
    let source: Box<dyn Read> = if follow {
        Box::new(Follow::new(file, path.clone()))
    } else {
        Box::new(file)
    };
    Ok((source, order))
}
