//! Reads the kernel's type information (BTF), as far as it takes to resolve
//! [`tracer_common::layout::FIELDS`] and to know which tracepoints and functions exist.
//!
//! One pass over the types, without copying them. The bytes are not trusted: every access is
//! checked, every recursion bounded.

mod file;

use std::collections::HashMap;

use thiserror::Error;
use tracer_common::{
    ABSENT, Layout,
    layout::{FIELDS, Lookup},
};
use zerocopy::IntoBytes;

pub(super) use file::{PATH, TypeBytes};

/// Why the type information cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum BtfError {
    /// Not BTF, or of another byte order.
    #[error("it does not begin with a BTF header in this machine's byte order")]
    Header,
    /// A section or type reaches beyond the end.
    #[error("it is truncated or damaged at byte {0}")]
    Damaged(usize),
    /// Required fields are missing.
    #[error("it lacks what the tracer needs: {0}")]
    Missing(String),
}

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
const TYPE_LEN: usize = 12;
/// Structs nested in structs.
const MAX_DEPTH: u32 = 16;

/// Kinds, `BTF_KIND_*`.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
    /// The highest kind whose size is known.
    pub(super) const LAST: u32 = ENUM64;
}

/// The first part of every type.
#[derive(Clone, Copy)]
struct Type {
    /// Where it starts in the type section.
    at: usize,
    name: u32,
    info: u32,
    /// Size in bytes or another type's id, by kind.
    value: u32,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    /// Members, enumerators or parameters.
    fn len(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Whether members carry a bit-field size in the high byte of their offset.
    fn has_bitfields(self) -> bool {
        self.info >> 31 == 1
    }

    /// Bytes of the whole type.
    fn bytes(self) -> usize {
        TYPE_LEN
            + match self.kind() {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * self.len(),
                kind::ENUM | kind::FUNC_PROTO => 8 * self.len(),
                _ => 0,
            }
    }
}

/// Type information, and the places of the wanted names in it.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Offsets in `types` by id - 1.
    index: Vec<u32>,
    /// The ids of structs, enums, typedefs of tracepoints and functions, by name.
    named: HashMap<&'a [u8], Vec<u32>>,
}

/// Prefix of the typedefs that describe tracepoints.
const TRACEPOINT: &str = "btf_trace_";

impl<'a> Btf<'a> {
    /// Looks through `bytes` for what the table of fields needs, for `tracepoints`, and for functions
    /// and structs with these `names`.
    pub(super) fn parse(
        bytes: &'a [u8],
        tracepoints: &[&'a str],
        names: &[&'a str],
    ) -> Result<Self, BtfError> {
        let (types, strings) = sections(bytes)?;
        let typedefs: Vec<String> = tracepoints
            .iter()
            .copied()
            .chain(FIELDS.iter().filter_map(|field| match field.lookup {
                Lookup::PointerArgument { trace, .. } | Lookup::HasArgument { trace, .. } => {
                    Some(trace)
                }
                _ => None,
            }))
            .map(|trace| format!("{TRACEPOINT}{trace}"))
            .collect();
        let wanted: Vec<&[u8]> = FIELDS
            .iter()
            .filter_map(|field| match field.lookup {
                Lookup::Offset { of, .. } | Lookup::Enumerator { of, .. } | Lookup::Size { of } => {
                    Some(of.as_bytes())
                }
                _ => None,
            })
            .chain(names.iter().map(|name| name.as_bytes()))
            .chain(typedefs.iter().map(String::as_bytes))
            .collect();
        let filter = Filter::new(&wanted);

        let mut btf = Self {
            types,
            strings,
            index: Vec::with_capacity(types.len() / 24),
            named: HashMap::new(),
        };
        let mut at = 0;
        while at < types.len() {
            let ty = btf.type_at(at)?;
            let end = at + ty.bytes();
            if ty.kind() > kind::LAST || end > types.len() {
                return Err(BtfError::Damaged(at));
            }
            btf.index
                .push(u32::try_from(at).map_err(|_| BtfError::Damaged(at))?);
            if matches!(
                ty.kind(),
                kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::TYPEDEF | kind::FUNC
            ) && filter.may_hold(strings, ty.name)
            {
                let name = btf.string(ty.name);
                if wanted.contains(&name) {
                    let id = u32::try_from(btf.index.len()).unwrap_or(u32::MAX);
                    btf.named.entry(name).or_default().push(id);
                }
            }
            at = end;
        }
        Ok(btf)
    }

    /// Resolves every row of the table of fields.
    pub(super) fn layout(&self) -> Result<Layout, BtfError> {
        let mut layout = Layout::UNRESOLVED;
        let mut missing = Vec::new();
        let slots = layout.as_mut_bytes().chunks_exact_mut(size_of::<u32>());
        for (field, slot) in FIELDS.iter().zip(slots) {
            let value = self.resolve(field.lookup);
            if value.is_none() && field.required {
                missing.push(describe(field.lookup));
            }
            slot.copy_from_slice(&value.unwrap_or(ABSENT).to_ne_bytes());
        }
        if missing.is_empty() {
            Ok(layout)
        } else {
            Err(BtfError::Missing(missing.join(", ")))
        }
    }

    /// Whether the kernel has this tracepoint.
    pub(super) fn has_tracepoint(&self, name: &str) -> bool {
        self.arguments(name).is_some()
    }

    /// Type id of a function.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.of_kind(name, &[kind::FUNC]).next().map(|(id, _)| id)
    }

    /// Type id of a struct.
    pub(super) fn structure(&self, name: &str) -> Option<u32> {
        self.of_kind(name, &[kind::STRUCT]).next().map(|(id, _)| id)
    }

    fn resolve(&self, lookup: Lookup) -> Option<u32> {
        match lookup {
            Lookup::Offset { of, member } => self
                .of_kind(of, &[kind::STRUCT, kind::UNION])
                .find_map(|(_, ty)| self.offset_of_path(ty, member)),
            Lookup::Enumerator { of, name } => self
                .of_kind(of, &[kind::ENUM, kind::ENUM64])
                .find_map(|(_, ty)| self.enumerator(ty, name)),
            Lookup::Size { of } => self
                .of_kind(of, &[kind::STRUCT, kind::UNION])
                .next()
                .map(|(_, ty)| ty.value),
            Lookup::PointerArgument { trace, index } => {
                let (proto, _) = self.arguments(trace)?;
                let ty = self.resolve_modifiers(self.parameter(proto, index + 1)?)?;
                Some(u32::from(ty.kind() == kind::PTR))
            }
            Lookup::HasArgument { trace, index } => {
                let (_, count) = self.arguments(trace)?;
                (index < count).then_some(1)
            }
        }
    }

    /// The types with this name and one of these kinds.
    fn of_kind<'b>(
        &'b self,
        name: &str,
        kinds: &'b [u32],
    ) -> impl Iterator<Item = (u32, Type)> + 'b {
        self.named
            .get(name.as_bytes())
            .into_iter()
            .flatten()
            .filter_map(|&id| Some((id, self.type_by_id(id)?)))
            .filter(|(_, ty)| kinds.contains(&ty.kind()))
    }

    /// Byte offset of a dotted path of members.
    fn offset_of_path(&self, ty: Type, path: &str) -> Option<u32> {
        let mut ty = ty;
        let mut offset = 0u32;
        for name in path.split('.') {
            let (at, member) = self.member(ty, name.as_bytes(), MAX_DEPTH)?;
            offset = offset.checked_add(at)?;
            // The last member may have any type, also void: nothing looks inside.
            ty = self.resolve_modifiers(member).unwrap_or(ty);
        }
        Some(offset)
    }

    /// Byte offset and type id of a member, which may be in an anonymous struct or union.
    fn member(&self, ty: Type, name: &[u8], depth: u32) -> Option<(u32, u32)> {
        if !matches!(ty.kind(), kind::STRUCT | kind::UNION) || depth == 0 {
            return None;
        }
        for i in 0..ty.len() {
            let at = ty.at + TYPE_LEN + 12 * i;
            let (member_name, member_type, bits) =
                (self.word(at)?, self.word(at + 4)?, self.word(at + 8)?);
            let bits = if ty.has_bitfields() {
                bits & 0x00ff_ffff
            } else {
                bits
            };
            if member_name == 0 {
                let inner = self
                    .resolve_modifiers(member_type)
                    .and_then(|inner| self.member(inner, name, depth - 1));
                if let Some((offset, found)) = inner {
                    return Some((offset.checked_add(bits / 8)?, found));
                }
            } else if self.string(member_name) == name {
                return Some((bits / 8, member_type));
            }
        }
        None
    }

    fn enumerator(&self, ty: Type, name: &str) -> Option<u32> {
        let stride = if ty.kind() == kind::ENUM { 8 } else { 12 };
        (0..ty.len()).find_map(|i| {
            let at = ty.at + TYPE_LEN + stride * i;
            (self.string(self.word(at)?) == name.as_bytes())
                .then(|| self.word(at + 4))
                .flatten()
        })
    }

    /// A tracepoint's prototype, and its number of arguments.
    fn arguments(&self, trace: &str) -> Option<(Type, usize)> {
        let name = format!("{TRACEPOINT}{trace}");
        let (_, typedef) = self.of_kind(&name, &[kind::TYPEDEF]).next()?;
        let pointer = self.resolve_modifiers(typedef.value)?;
        if pointer.kind() != kind::PTR {
            return None;
        }
        let proto = self.resolve_modifiers(pointer.value)?;
        // The first parameter is the tracepoint's own `void *`.
        (proto.kind() == kind::FUNC_PROTO).then(|| (proto, proto.len().saturating_sub(1)))
    }

    /// Type id of a prototype's parameter.
    fn parameter(&self, proto: Type, index: usize) -> Option<u32> {
        (index < proto.len())
            .then(|| self.word(proto.at + TYPE_LEN + 8 * index + 4))
            .flatten()
    }

    /// The type behind typedefs, const and the like.
    fn resolve_modifiers(&self, id: u32) -> Option<Type> {
        let mut ty = self.type_by_id(id)?;
        for _ in 0..MAX_DEPTH {
            match ty.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    ty = self.type_by_id(ty.value)?;
                }
                _ => return Some(ty),
            }
        }
        None
    }

    fn type_by_id(&self, id: u32) -> Option<Type> {
        let at = *self.index.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        self.type_at(at as usize).ok()
    }

    fn type_at(&self, at: usize) -> Result<Type, BtfError> {
        let bytes = self
            .types
            .get(at..at + TYPE_LEN)
            .ok_or(BtfError::Damaged(at))?;
        let word =
            |i: usize| u32::from_ne_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        Ok(Type {
            at,
            name: word(0),
            info: word(4),
            value: word(8),
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.types.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// The string at an offset; empty when it is out of bounds.
    fn string(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        let len = rest.iter().position(|&b| b == 0).unwrap_or(0);
        &rest[..len]
    }
}

/// Type and string section.
fn sections(bytes: &[u8]) -> Result<(&[u8], &[u8]), BtfError> {
    let header = bytes.get(..HEADER_LEN).ok_or(BtfError::Header)?;
    if u16::from_ne_bytes([header[0], header[1]]) != MAGIC {
        return Err(BtfError::Header);
    }
    let word = |i: usize| {
        u32::from_ne_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]) as usize
    };
    let section = |offset: usize, len: usize| {
        let start = word(4).saturating_add(offset);
        bytes
            .get(start..start.saturating_add(len))
            .ok_or(BtfError::Damaged(start))
    };
    Ok((section(word(8), word(12))?, section(word(16), word(20))?))
}

/// Rejects most names by their first two bytes, so that a hundred thousand names need not be measured
/// and compared.
struct Filter {
    starts: Box<[bool]>,
}

impl Filter {
    fn new(wanted: &[&[u8]]) -> Self {
        let mut starts = vec![false; 1 << 16].into_boxed_slice();
        for name in wanted {
            if let [a, b, ..] = name {
                starts[usize::from(u16::from_ne_bytes([*a, *b]))] = true;
            }
        }
        Self { starts }
    }

    fn may_hold(&self, strings: &[u8], name: u32) -> bool {
        let at = name as usize;
        strings
            .get(at..at + 2)
            .is_some_and(|start| self.starts[usize::from(u16::from_ne_bytes([start[0], start[1]]))])
    }
}

fn describe(lookup: Lookup) -> String {
    match lookup {
        Lookup::Offset { of, member } => format!("{of}.{member}"),
        Lookup::Enumerator { of, name } => format!("{name} of enum {of}"),
        Lookup::Size { of } => format!("struct {of}"),
        Lookup::PointerArgument { trace, index } | Lookup::HasArgument { trace, index } => {
            format!("argument {index} of tracepoint {trace}")
        }
    }
}

#[cfg(test)]
mod tests;
