//! How a command's arguments are documented: in the terms of COMMAND DOCS, from which HELP is written too.

/// What an argument is, in the words of Redis 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgumentKind {
    /// Any bytes.
    String,
    /// A 64-bit integer.
    Integer,
    /// A number with a fraction.
    Double,
    /// A key of the command's key spec.
    Key,
    /// A glob pattern.
    Pattern,
    /// A point in time, in seconds or milliseconds since 1970.
    UnixTime,
    /// A word with no value after it.
    PureToken,
    /// One of the nested arguments.
    OneOf,
    /// All nested arguments, in order.
    Block,
}

impl ArgumentKind {
    /// The name in COMMAND DOCS.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// One argument of a command, as documented.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Argument {
    /// What it stands for.
    pub name: &'static str,
    /// What it has to be.
    pub kind: ArgumentKind,
    /// Of a key: which of the command's key specs it belongs to.
    pub key_spec: u8,
    /// The word before it, or the word itself.
    pub token: Option<&'static str>,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be given several times.
    pub multiple: bool,
    /// Whether its token comes again each time that it is given.
    pub repeats_token: bool,
    /// The arguments that a block or a choice is made of.
    pub arguments: &'static [Argument],
}

impl Argument {
    /// An argument that has to be there once.
    pub(super) const fn new(name: &'static str, kind: ArgumentKind) -> Self {
        Self {
            name,
            kind,
            key_spec: 0,
            token: None,
            optional: false,
            multiple: false,
            repeats_token: false,
            arguments: &[],
        }
    }

    /// A key.
    pub(super) const fn key() -> Self {
        Self::new("key", ArgumentKind::Key)
    }

    /// A key of the command's `key_spec`-th key spec, counted from 0.
    pub(super) const fn key_of(key_spec: u8, name: &'static str) -> Self {
        Self { key_spec, ..Self::new(name, ArgumentKind::Key) }
    }

    /// A word without a value.
    pub(super) const fn word(name: &'static str, token: &'static str) -> Self {
        Self::new(name, ArgumentKind::PureToken).token(token)
    }

    /// Exactly one of `arguments`.
    pub(super) const fn one_of(name: &'static str, arguments: &'static [Self]) -> Self {
        Self { arguments, ..Self::new(name, ArgumentKind::OneOf) }
    }

    /// All of `arguments`.
    pub(super) const fn block(name: &'static str, arguments: &'static [Self]) -> Self {
        Self { arguments, ..Self::new(name, ArgumentKind::Block) }
    }

    /// The same, after the word `token`.
    pub(super) const fn token(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// The same, if it is there at all.
    pub(super) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// The same, once or more.
    pub(super) const fn multiple(self) -> Self {
        Self { multiple: true, ..self }
    }

    /// The same, once or more, its token before each.
    pub(super) const fn multiple_with_token(self) -> Self {
        Self { multiple: true, repeats_token: true, ..self }
    }
}
