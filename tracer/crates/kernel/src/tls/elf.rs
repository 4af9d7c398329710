//! Finds OpenSSL's functions in an ELF file: a shared library, or a program that it is linked into.
//!
//! The file belongs to whoever runs the proxy and is not trusted. It is read in pieces of fixed size,
//! every number in it is bounded before it is used, and only offsets are kept.

use std::io;
use std::os::unix::fs::FileExt as _;

use object::NativeEndian;
use object::elf::{
    ELFCLASS64, ELFMAG, EM_X86_64, FileHeader64, PF_X, PT_LOAD, ProgramHeader64, SHN_UNDEF,
    SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, SectionHeader64, Sym64,
};
use object::pod::Pod;
use thiserror::Error;

/// The names of the functions in symbol tables; the first three are required.
const NAMES: [&str; 6] = [
    "SSL_read",
    "SSL_write",
    "SSL_free",
    "SSL_read_ex",
    "SSL_write_ex",
    "SSL_do_handshake",
];

/// OpenSSL's functions in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Functions {
    /// `SSL_read`.
    pub(super) read: Function,
    /// `SSL_write`.
    pub(super) write: Function,
    /// `SSL_free`.
    pub(super) free: Function,
    /// `SSL_read_ex`; since 1.1.1.
    pub(super) read_ex: Option<Function>,
    /// `SSL_write_ex`; since 1.1.1.
    pub(super) write_ex: Option<Function>,
    /// `SSL_do_handshake`.
    pub(super) handshake: Option<Function>,
    /// Whether the code is for x86-64.
    pub(super) x86: bool,
}

/// The place of a function's code in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Bytes from the beginning of the file.
    pub(super) offset: u64,
    /// Bytes; 0 when unknown.
    pub(super) size: u64,
}

/// Why the functions cannot be found.
#[derive(Debug, Error)]
pub(super) enum ElfError {
    /// Reading failed; the file may be shorter than its headers say.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not an ELF file, or one for another machine.
    #[error("is not a 64-bit ELF file in this machine's byte order")]
    Foreign,
    /// A table is too large to be real.
    #[error("has {what} that is too large to be real")]
    TooLarge {
        /// Which table.
        what: &'static str,
    },
    /// The file is stripped, or has no OpenSSL.
    #[error("has no symbol {0}")]
    NoSymbol(&'static str),
}

/// Bytes that are read at once: about 64 KiB, a multiple of the size of a symbol.
const PIECE: u64 = 2730 * size_of::<Sym64<NativeEndian>>() as u64;
/// Most program headers, and most section headers.
const MAX_HEADERS: u16 = 4096;
/// Most bytes of a symbol table, and of a table of names. Those of a browser have about 50 MB.
const MAX_TABLE: u64 = 64 << 20;
/// Most places in a table of names at which one of [`NAMES`] may begin.
const MAX_PLACES: usize = 64;

/// A file to read from.
pub(super) trait Source {
    /// Fills `to` from `offset` on.
    fn read(&self, to: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for std::fs::File {
    fn read(&self, to: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(to, offset)
    }
}

/// Finds the functions. Dynamic symbols are searched first, because stripping keeps them.
pub(super) fn functions(file: &impl Source) -> Result<Functions, ElfError> {
    let header: FileHeader64<NativeEndian> = one(file, 0)?;
    let ident = &header.e_ident;
    let data = if cfg!(target_endian = "little") { 1 } else { 2 };
    if ident.magic != ELFMAG || ident.class != ELFCLASS64 || ident.data != data {
        return Err(ElfError::Foreign);
    }
    let native = NativeEndian;
    let segments: Vec<ProgramHeader64<NativeEndian>> =
        many(file, header.e_phoff.get(native), header.e_phnum.get(native))?;
    let sections: Vec<SectionHeader64<NativeEndian>> =
        many(file, header.e_shoff.get(native), header.e_shnum.get(native))?;
    let mut found = [None; NAMES.len()];
    for kind in [SHT_DYNSYM, SHT_SYMTAB] {
        for table in sections.iter().filter(|it| it.sh_type.get(native) == kind) {
            let Some(names) = sections.get(table.sh_link.get(native) as usize) else {
                continue;
            };
            for symbol in symbols(file, table, names)? {
                let mut offsets = segments
                    .iter()
                    .filter_map(|it| file_offset(it, symbol.address));
                if let (slot @ None, Some(offset)) = (&mut found[symbol.name], offsets.next()) {
                    *slot = Some(Function {
                        offset,
                        size: symbol.size,
                    });
                }
            }
        }
        let [read, write, free, read_ex, write_ex, handshake] = found;
        if let (Some(read), Some(write), Some(free)) = (read, write, free) {
            return Ok(Functions {
                read,
                write,
                free,
                read_ex,
                write_ex,
                handshake,
                x86: header.e_machine.get(native) == EM_X86_64,
            });
        }
    }
    let missing = NAMES.iter().zip(found).find(|(_, found)| found.is_none());
    Err(ElfError::NoSymbol(
        missing.map_or(NAMES[0], |(name, _)| name),
    ))
}

/// The offset in the file of the code at `address`, if it is in this segment.
fn file_offset(segment: &ProgramHeader64<NativeEndian>, address: u64) -> Option<u64> {
    let native = NativeEndian;
    if segment.p_type.get(native) != PT_LOAD || segment.p_flags.get(native) & PF_X == 0 {
        return None;
    }
    let inside = address.checked_sub(segment.p_vaddr.get(native))?;
    if inside >= segment.p_filesz.get(native) {
        return None;
    }
    segment.p_offset.get(native).checked_add(inside)
}

struct Symbol {
    /// Index into [`NAMES`].
    name: usize,
    address: u64,
    size: u64,
}

/// The functions in one symbol table.
fn symbols(
    file: &impl Source,
    table: &SectionHeader64<NativeEndian>,
    names: &SectionHeader64<NativeEndian>,
) -> Result<Vec<Symbol>, ElfError> {
    let native = NativeEndian;
    let places = places(file, names)?;
    let mut found = Vec::new();
    if places.is_empty() {
        return Ok(found);
    }
    pieces(file, table, "a symbol table", 0, |piece, _| {
        for bytes in piece.chunks_exact(size_of::<Sym64<NativeEndian>>()) {
            let Ok((symbol, _)) = object::pod::from_bytes::<Sym64<NativeEndian>>(bytes) else {
                continue;
            };
            let name = u64::from(symbol.st_name.get(native));
            let defined = symbol.st_type() == STT_FUNC && symbol.st_shndx.get(native) != SHN_UNDEF;
            if !defined || found.len() == MAX_PLACES {
                continue;
            }
            if let Some(&(_, name)) = places.iter().find(|(place, _)| *place == name) {
                found.push(Symbol {
                    name,
                    address: symbol.st_value.get(native),
                    size: symbol.st_size.get(native),
                });
            }
        }
    })?;
    Ok(found)
}

/// The places in a table of names at which one of [`NAMES`] begins: offset, and index into [`NAMES`].
/// A place may be inside a longer name, because linkers share the ends of names.
fn places(
    file: &impl Source,
    names: &SectionHeader64<NativeEndian>,
) -> Result<Vec<(u64, usize)>, ElfError> {
    const PREFIX: &[u8] = b"SSL_";
    /// The longest name and the NUL behind it.
    const LONGEST: u64 = "SSL_do_handshake".len() as u64 + 1;
    let mut found: Vec<(u64, usize)> = Vec::new();
    pieces(file, names, "a table of names", LONGEST, |piece, offset| {
        for (at, window) in piece.windows(PREFIX.len()).enumerate() {
            if window != PREFIX {
                continue;
            }
            let rest = &piece[at..];
            let which = NAMES.iter().position(|name| {
                rest.strip_prefix(name.as_bytes())
                    .is_some_and(|rest| rest.first() == Some(&0))
            });
            let place = offset + at as u64;
            // The last bytes of a piece are repeated at the beginning of the next.
            let again = found.last().is_some_and(|(last, _)| *last >= place);
            if let Some(which) = which
                && !again
                && found.len() < MAX_PLACES
            {
                found.push((place, which));
            }
        }
    })?;
    Ok(found)
}

/// Calls `with` for each piece of a section and its offset. Each piece begins with the last `overlap`
/// bytes of the previous one.
fn pieces(
    file: &impl Source,
    section: &SectionHeader64<NativeEndian>,
    what: &'static str,
    overlap: u64,
    mut with: impl FnMut(&[u8], u64),
) -> Result<(), ElfError> {
    let size = section.sh_size.get(NativeEndian);
    let start = section.sh_offset.get(NativeEndian);
    if size > MAX_TABLE {
        return Err(ElfError::TooLarge { what });
    }
    let mut buffer = vec![0; usize::try_from(size.min(PIECE)).unwrap_or(0)];
    let mut offset = 0;
    loop {
        let len = usize::try_from((size - offset).min(PIECE)).unwrap_or(0);
        let piece = &mut buffer[..len];
        file.read(piece, start.saturating_add(offset))?;
        with(piece, offset);
        if size - offset <= PIECE {
            return Ok(());
        }
        offset += PIECE - overlap;
    }
}

fn one<T: Pod>(file: &impl Source, offset: u64) -> Result<T, ElfError> {
    many(file, offset, 1)?.pop().ok_or(ElfError::Foreign)
}

/// Reads `count` structs from `offset` on.
fn many<T: Pod>(file: &impl Source, offset: u64, count: u16) -> Result<Vec<T>, ElfError> {
    if count > MAX_HEADERS {
        return Err(ElfError::TooLarge {
            what: "a table of headers",
        });
    }
    let count = usize::from(count);
    let mut bytes = vec![0; count * size_of::<T>()];
    file.read(&mut bytes, offset)?;
    let (structs, _) =
        object::pod::slice_from_bytes::<T>(&bytes, count).map_err(|()| ElfError::Foreign)?;
    Ok(structs.to_vec())
}
