//! Hand-made libraries, damaged files, and the OpenSSL of this machine.

use std::io;

use proptest::prelude::*;

use super::elf::{ElfError, Function, Functions, Source, functions};
use super::sites::{Site, sites};
use super::uses::{Suits, Uses};
use super::{mapped, x86};

impl Source for &[u8] {
    fn read(&self, to: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(to.len()).ok_or(io::ErrorKind::Other)?;
        let from = self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        to.copy_from_slice(from);
        Ok(())
    }
}

/// A small library: names, symbols and code where a linker would put them.
struct Library {
    names: Vec<u8>,
    symbols: Vec<u8>,
    code: Vec<u8>,
    kind: u32,
}

/// Address of the code, and its offset in the file.
const ADDRESS: u64 = 0x40_1000;
const CODE: u64 = 0x1000;
/// Room for the code, in the file and in memory.
const ROOM: u64 = 0x1000;

impl Library {
    fn new() -> Self {
        Self {
            names: vec![0],
            symbols: vec![0; 24],
            code: Vec::new(),
            kind: 11,
        }
    }

    /// Adds a function, and returns its offset in the file.
    fn with(&mut self, name: &str, code: &[u8]) -> u64 {
        let at = self.code.len() as u64;
        self.code.extend(code);
        let place = u32::try_from(self.names.len()).unwrap();
        self.names.extend(name.as_bytes());
        self.names.push(0);
        self.symbol(place, 2, 1, ADDRESS + at, code.len() as u64);
        CODE + at
    }

    fn symbol(&mut self, name: u32, info: u8, section: u16, address: u64, size: u64) {
        self.symbols.extend(name.to_le_bytes());
        self.symbols.extend([info, 0]);
        self.symbols.extend(section.to_le_bytes());
        self.symbols.extend(address.to_le_bytes());
        self.symbols.extend(size.to_le_bytes());
    }

    fn file(&self) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..20].copy_from_slice(&[3, 0, 62, 0]);
        let segments = file.len() as u64;
        // PT_LOAD, readable and executable.
        file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
        for value in [CODE, ADDRESS, ADDRESS, ROOM, ROOM, 0x1000] {
            file.extend(value.to_le_bytes());
        }
        let sections = file.len() as u64;
        let (names, symbols) = (self.names.len() as u64, self.symbols.len() as u64);
        let first = CODE + ROOM;
        for (kind, offset, size, link) in [
            (0, 0, 0, 0),
            (self.kind, first + names, symbols, 2),
            (3, first, names, 0),
        ] {
            file.extend([0; 4]);
            file.extend(u32::to_le_bytes(kind));
            file.extend([0; 16]);
            file.extend(u64::to_le_bytes(offset));
            file.extend(u64::to_le_bytes(size));
            file.extend(u32::to_le_bytes(link));
            file.extend([0; 20]);
        }
        file[32..40].copy_from_slice(&segments.to_le_bytes());
        file[40..48].copy_from_slice(&sections.to_le_bytes());
        file[54..64].copy_from_slice(&[56, 0, 1, 0, 64, 0, 3, 0, 2, 0]);
        file.resize(usize::try_from(CODE).unwrap(), 0);
        file.extend(&self.code);
        file.resize(usize::try_from(first).unwrap(), 0);
        file.extend(&self.names);
        file.extend(&self.symbols);
        file
    }
}

/// A call from offset `at` of the code to offset `to`.
fn call(at: i32, to: i32) -> Vec<u8> {
    let mut code = vec![0xe8];
    code.extend((to - (at + 5)).to_le_bytes());
    code
}

/// Like the beginning of Debian's OpenSSL 3.0: the common function of the reads, and its callers.
fn openssl3() -> Library {
    let mut library = Library::new();
    library.with("hidden", b"\x41\x55\x41\x54\x55\x53\xc3\x90");
    let prologue = b"\x48\x83\xec\x18\x64\x48\x8b\x04\x25\x28\0\0\0\x48\x89\x44\x24\x08\
                     \x31\xc0\x85\xd2\x78\x2f";
    let mut read = prologue.to_vec();
    read.extend(call(8 + 24, 0));
    library.with("SSL_read", &read);
    library.with("SSL_write", prologue);
    let at = i32::try_from(library.code.len()).unwrap();
    let mut read_ex = b"\x48\x83\xec\x08".to_vec();
    read_ex.extend(call(at + 4, 0));
    library.with("SSL_read_ex", &read_ex);
    library.with("SSL_free", b"\x48\x85\xff\x0f\x84\x97\x03\0\0");
    library
}

fn offset_of(library: &Library, name: &str) -> u64 {
    let found = functions(&library.file().as_slice()).unwrap();
    match name {
        "SSL_read" => found.read.offset,
        "SSL_write" => found.write.offset,
        _ => found.free.offset,
    }
}

#[test]
fn functions_are_found_by_dynamic_symbols_or_by_others() {
    for kind in [11, 2] {
        let mut library = openssl3();
        library.kind = kind;
        let file = library.file();
        let found = functions(&file.as_slice()).unwrap();
        assert_eq!(
            found.read,
            Function {
                offset: CODE + 8,
                size: 29
            }
        );
        assert!(found.read_ex.is_some() && found.write_ex.is_none() && found.x86);
    }
}

#[test]
fn a_name_may_be_the_end_of_a_longer_one() {
    let mut library = Library::new();
    library.with("SSL_write", b"\x53");
    library.with("SSL_free", b"\x53");
    library.with("my_SSL_read", b"\x53\x53");
    assert!(functions(&library.file().as_slice()).is_err());
    let place = u32::try_from(library.names.len() - "SSL_read\0".len()).unwrap();
    library.symbol(place, 2, 1, ADDRESS + 3, 1);
    assert_eq!(offset_of(&library, "SSL_read"), CODE + 3);
}

#[test]
fn imported_functions_are_not_found() {
    let mut library = openssl3();
    for symbol in library.symbols.chunks_exact_mut(24) {
        symbol[6] = 0;
    }
    let error = functions(&library.file().as_slice()).unwrap_err();
    assert_eq!(error.to_string(), "has no symbol SSL_read");
}

#[test]
fn names_across_two_pieces_of_a_table_are_found() {
    for missing in 0..20 {
        let mut library = Library::new();
        library.names.resize(2730 * 24 - missing, b'x');
        library.names.push(0);
        for name in ["SSL_read", "SSL_write", "SSL_free", "SSL_do_handshake"] {
            library.with(name, b"\x53");
        }
        let found = functions(&library.file().as_slice());
        assert!(found.is_ok_and(|it| it.handshake.is_some()), "{missing}");
    }
}

#[test]
fn functions_far_down_a_long_table_are_found() {
    for others in [2725, 2728, 2730, 10_000] {
        let mut library = Library::new();
        for _ in 0..others {
            library.symbol(0, 2, 1, ADDRESS, 1);
        }
        for name in ["SSL_free", "SSL_read", "SSL_write"] {
            library.with(name, b"\x53");
        }
        assert_eq!(offset_of(&library, "SSL_write"), CODE + 2, "{others}");
    }
}

#[test]
fn tables_too_large_to_be_real_are_refused_before_they_are_read() {
    let mut file = openssl3().file();
    // Size of the symbol table, in the second section header.
    let at = 64 + 56 + 64 + 32;
    file[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let error = functions(&file.as_slice()).unwrap_err();
    assert!(matches!(error, ElfError::TooLarge { .. }), "{error}");
}

#[test]
fn reads_are_probed_in_their_common_function_and_writes_at_their_first_jump() {
    let file = openssl3().file();
    let found = functions(&file.as_slice()).unwrap();
    let sites = sites(&file.as_slice(), &found).unwrap();
    let write = CODE + 8 + 29;
    let free = write + 24 + 9;
    let site = |program, offset| Site { offset, program };
    assert_eq!(
        sites,
        [
            site("tls_read_return", CODE),
            site("tls_read_ex", CODE),
            site("tls_free", free + 3),
            site("tls_write", write + 22),
        ]
    );
}

#[test]
fn on_other_machines_and_without_a_common_function_each_read_has_its_own_probe() {
    let file = openssl3().file();
    let found = functions(&file.as_slice()).unwrap();
    let alone = |found: &Functions| {
        let sites = sites(&file.as_slice(), found).unwrap();
        let reads = sites.iter().filter(|it| it.offset == found.read.offset);
        reads.map(|it| it.program).collect::<Vec<_>>()
    };
    let each = ["tls_read_return", "tls_read"];
    assert_eq!(
        alone(&Functions {
            x86: false,
            ..found
        }),
        each
    );
    assert_eq!(
        alone(&Functions {
            read_ex: None,
            ..found
        }),
        each
    );
    assert_eq!(alone(&found), [""; 0]);
}

#[test]
fn unknown_code_is_probed_at_its_beginning() {
    for (code, place) in [
        (&b""[..], 0),
        (b"\x48\x83\xec\x18", 0),
        (b"\x48\x83\xec\x18\x48\x89\xd1\x53", 0),
        (b"\xf3\x0f\x1e\xfa\x41\x57", 4),
        (b"\xf3\x0f\x1e\xfa\x48\x83\xec\x08\xe8", 8),
        (b"\x53", 0),
    ] {
        assert_eq!(x86::cheap_place(code), place, "{code:x?}");
    }
}

#[test]
fn the_functions_of_this_machines_openssl_are_found() {
    let Some(path) = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|triplet| format!("/usr/lib/{triplet}/libssl.so.3"))
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
    else {
        panic!("OpenSSL is not installed: apt-get install libssl3");
    };
    let file = std::fs::File::open(path).unwrap();
    let found = functions(&file).unwrap();
    assert!(found.read_ex.is_some() && found.handshake.is_some());
    assert!(sites(&file, &found).unwrap().len() >= 5);
}

#[test]
fn without_a_library_the_program_is_the_candidate() {
    let pid = std::process::id();
    let candidates = mapped::candidates(pid).unwrap();
    assert_eq!(candidates.len(), 1);
    assert!(!candidates[0].library);
    let error = functions(&candidates[0].file).unwrap_err();
    assert!(matches!(error, ElfError::NoSymbol(_)), "{error}");
}

#[test]
fn libraries_are_recognised_by_their_names_in_any_directory() {
    let maps = "\
7f00-7f08 r--p 00000000 fe:01 77 /usr/lib/libssl.so.3
7f08-7f10 r-xp 00008000 fe:01 77 /usr/lib/libssl.so.3
7f20-7f28 r-xp 00008000 fe:01 77 /usr/lib/libssl.so.3
8f08-8f10 r-xp 00008000 fe:01 78 /opt/a b/libssl-3f1c.so.1.1 (deleted)
8f20-8f28 r-xp 00008000 fe:01 79 /usr/lib/libsslkeylog.so.1
8f30-8f38 r-xp 00008000 fe:01 80 /usr/lib/libcrypto.so.3
../../x-y r-xp 00008000 fe:01 81 /usr/lib/libssl.so.3x
8f40-8f48 r-xp 00000000 00:00 0 [vdso]
";
    let found = mapped::libraries(maps);
    let libraries: Vec<_> = found
        .iter()
        .map(|it| (it.range, it.inode, it.path))
        .collect();
    assert_eq!(
        libraries,
        [
            ("7f08-7f10", 77, "/usr/lib/libssl.so.3"),
            ("8f08-8f10", 78, "/opt/a b/libssl-3f1c.so.1.1"),
        ]
    );
}

/// Two different files.
fn two_files() -> [mapped::FileId; 2] {
    ["/proc/self/exe", "/bin/sh"].map(|path| mapped::open_regular(path).unwrap().1)
}

#[test]
fn a_library_is_attached_once_and_detached_with_its_last_process() {
    let [one, other] = two_files();
    let links = std::rc::Rc::new(());
    let mut uses = Uses::default();
    let attach = || Ok::<_, ()>(links.clone());
    assert_eq!(uses.add(1, one, attach), Ok(Suits::Attached));
    assert_eq!(uses.add(2, one, || Err(())), Ok(Suits::Attached));
    assert_eq!(uses.add(2, other, attach), Ok(Suits::Attached));
    assert_eq!(std::rc::Rc::strong_count(&links), 3);
    uses.remove(1);
    assert!(!uses.covers(1) && uses.covers(2));
    assert_eq!(std::rc::Rc::strong_count(&links), 3);
    uses.remove(2);
    assert!(!uses.covers(2));
    assert_eq!(std::rc::Rc::strong_count(&links), 1);
}

#[test]
fn a_failure_is_returned_once() {
    let [one, _] = two_files();
    let mut uses = Uses::<()>::default();
    assert_eq!(uses.add(1, one, || Err("EPERM")), Err("EPERM"));
    assert_eq!(uses.add(2, one, || Err("again")), Ok(Suits::Refused));
    assert!(!uses.covers(1));
}

proptest! {
    #[test]
    fn any_file_is_accepted(bytes: Vec<u8>) {
        let _ = functions(&bytes.as_slice());
    }

    #[test]
    fn a_damaged_file_never_panics(
        damage in proptest::collection::vec((0x1000usize..0x2200, any::<u8>()), 1..40),
        end in 64usize..0x2200,
    ) {
        let mut file = openssl3().file();
        for (at, byte) in damage {
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
        }
        file.truncate(end);
        if let Ok(found) = functions(&file.as_slice()) {
            let _ = sites(&file.as_slice(), &found);
        }
    }

    #[test]
    fn damaged_headers_never_panic(
        damage in proptest::collection::vec((16usize..312, any::<u8>()), 1..6),
    ) {
        let mut file = openssl3().file();
        for (at, byte) in damage {
            file[at] = byte;
        }
        if let Ok(found) = functions(&file.as_slice()) {
            let _ = sites(&file.as_slice(), &found);
        }
    }

    #[test]
    fn any_code_is_accepted(code: Vec<u8>, offset: u64) {
        prop_assert!(x86::cheap_place(&code) <= code.len() as u64);
        prop_assert!(x86::calls(&code, offset).count() <= code.len());
    }

    #[test]
    fn any_mappings_are_accepted(maps in "[0-9a-f]{1,4}-[0-9a-f]{1,4} [r-]{1,5} .{0,40}(/libssl.so)?\n?") {
        prop_assert!(mapped::libraries(&maps).len() <= 1);
    }
}
