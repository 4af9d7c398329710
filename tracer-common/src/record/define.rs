//! How records are defined: C layout, and safe decoding from bytes in userspace.

macro_rules! records {
    ($( $(#[$doc:meta])* pub struct $name:ident { $($body:tt)* } )*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug)]
            #[cfg_attr(
                feature = "user",
                derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)
            )]
            pub struct $name { $($body)* }
        )*
    };
}

pub(super) use records;
