//! What may be wrong with a command, and the words in which the client is told.
//!
//! Client libraries tell errors apart by their text, so these are the words of Redis 7 to the letter (the last two
//! are ours: Redis has no commands between nodes, and takes any length; and so are those that say it). `Display` is the one place that has them; it yields what follows the
//! `-` of a RESP error. All of these are mistakes of the client; no state has changed when one is reported.
//!
//! Bytes of a client that appear in a text are made harmless as in Redis: they end at a NUL, CR and LF become spaces,
//! and at most [`QUOTE_BYTES_MAX`] of them are repeated (Redis has that bound for names and arguments of unknown
//! commands alone; here it holds everywhere). Bytes that are not UTF-8 appear as U+FFFD.

use thiserror::Error;

use crate::command::scan::KEYS_BYTES_MAX;
use crate::command::spec::CommandSpec;

/// How many bytes of a name, or of all arguments together, an error repeats.
pub const QUOTE_BYTES_MAX: usize = 128;

/// Bytes of a command that may take long, arguments and framing together: as many as an inline command may have. The
/// time that such commands take grows with their length, and nothing else ever lets the others come in between.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Why a command is not executed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CommandError {
    /// No command has this name.
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    UnknownCommand {
        /// The name as the client wrote it.
        name: String,
        /// Its first arguments, each in quotes and followed by a space.
        arguments: String,
    },
    /// The command has no such subcommand.
    #[error("ERR unknown subcommand '{name}'. Try {container} HELP.")]
    UnknownSubcommand {
        /// The subcommand as the client wrote it.
        name: String,
        /// The command in upper case.
        container: String,
    },
    /// Too few or too many arguments for this command (`get`, `client|setname`).
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(&'static str),
    /// An option that is unknown, unfinished or in conflict with another.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument that had to be a 64-bit integer.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// SCAN with a cursor that is no number.
    #[error("ERR invalid cursor")]
    InvalidCursor,
    /// KEYS whose answer would be larger than a node keeps in memory for one client.
    #[error("ERR too many keys match: the reply would exceed {KEYS_BYTES_MAX} bytes. Use SCAN.")]
    TooManyKeys,
    /// WAIT or CLIENT PAUSE with a time that is no 64-bit integer.
    #[error("ERR timeout is not an integer or out of range")]
    TimeoutNotAnInteger,
    /// WAIT or CLIENT PAUSE with a time below 0.
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    /// The keys of a command that works on all of them at once are in different slots.
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    /// A counter would leave the range of 64-bit integers.
    #[error("ERR increment or decrement would overflow")]
    IncrementWouldOverflow,
    /// DECRBY with a number that has no opposite.
    #[error("ERR decrement would overflow")]
    DecrementWouldOverflow,
    /// A value would become longer than the longest that is kept.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    ValueTooLong,
    /// SETRANGE before a value's start.
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    /// The place of a bit that no value can have.
    #[error("ERR bit offset is not an integer or out of range")]
    BitOffset,
    /// SETBIT to something other than 0 and 1.
    #[error("ERR bit is not an integer or out of range")]
    BitValue,
    /// BITPOS of something other than 0 and 1.
    #[error("ERR The bit argument must be 1 or 0.")]
    BitArgument,
    /// BITOP NOT with several sources.
    #[error("ERR BITOP NOT must be called with a single source key.")]
    BitOpNot,
    /// BITFIELD with a field of a kind that does not exist.
    #[error("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.")]
    BitfieldType,
    /// BITFIELD with an OVERFLOW that does not exist.
    #[error("ERR Invalid OVERFLOW type specified")]
    OverflowType,
    /// `BITFIELD_RO` with a step that writes.
    #[error("ERR BITFIELD_RO only supports the GET subcommand")]
    BitfieldReadOnly,
    /// A value or argument that had to be a decimal fraction.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// INCRBYFLOAT beyond all numbers.
    #[error("ERR increment would produce NaN or Infinity")]
    InfiniteSum,
    /// LCS for its length and its places at once.
    #[error("ERR If you want both the length and indexes, please just use IDX.")]
    LcsOptions,
    /// LCS of values that are too long.
    #[error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")]
    LcsTooLarge,
    /// A time to live or point in time that is zero, negative or too far away, for this command.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpireTime(&'static str),
    /// EXPIRE and its kin with an option that they do not have.
    #[error("ERR Unsupported option {0}")]
    UnsupportedOption(String),
    /// EXPIRE and its kin with NX and another condition.
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireNxWithOthers,
    /// EXPIRE and its kin with conditions that contradict each other.
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireGtWithLt,
    /// RENAME of a key that does not exist.
    #[error("ERR no such key")]
    NoSuchKey,
    /// COPY of a key to itself.
    #[error("ERR source and destination objects are the same")]
    SameObject,
    /// RENAME in several steps, of a key that always was another one when its turn came. The words are ours, for Redis
    /// needs one step.
    #[error("TRYAGAIN the key kept changing while it was moved; it keeps its name, and the new one holds nothing")]
    SourceKeptChanging,
    /// A number that had to be a 32-bit integer and is none, for it is too large.
    #[error("ERR value is out of range, value must between -2147483648 and 2147483647")]
    NoShortInteger,
    /// RESTORE of a key that exists.
    #[error("BUSYKEY Target key name already exists.")]
    BusyKey,
    /// RESTORE with a negative time to live.
    #[error("ERR Invalid TTL value, must be >= 0")]
    InvalidTtl,
    /// RESTORE with a negative time since the last use.
    #[error("ERR Invalid IDLETIME value, must be >= 0")]
    InvalidIdleTime,
    /// RESTORE with a frequency that is no byte.
    #[error("ERR Invalid FREQ value, must be >= 0 and <= 255")]
    InvalidFrequency,
    /// RESTORE of something that no DUMP has made, or that of a newer Redis.
    #[error("ERR DUMP payload version or checksum are wrong")]
    PayloadVersionOrChecksum,
    /// RESTORE of a payload that makes no sense.
    #[error("ERR Bad data format")]
    BadPayload,
    /// RESTORE of a value that is no string. The words are ours, for Redis takes it.
    #[error("ERR the payload holds a {0}, and only strings can be kept here")]
    PayloadIsNoString(&'static str),
    /// OBJECT FREQ: nothing counts accesses.
    #[error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
         between policies at runtime LRU and LFU data will take some time to adjust."
    )]
    FrequencyNotTracked,
    /// OBJECT IDLETIME: nothing remembers accesses. The words are ours, for Redis does.
    #[error("ERR Idle time not tracked: a read leaves no trace here.")]
    IdleTimeNotTracked,
    /// The client has to authenticate first.
    #[error("NOAUTH Authentication required.")]
    AuthenticationRequired,
    /// The same, where HELLO came without AUTH.
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
         option can be used to authenticate the client and select the RESP protocol version at the same time"
    )]
    HelloAuthenticationRequired,
    /// AUTH with a password where none is configured.
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    )]
    NoPasswordConfigured,
    /// An unknown user or a wrong password.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPassword,
    /// A database whose number does not fit into 32 bits.
    #[error("ERR value is out of range, value must between {} and {}", i32::MIN, i32::MAX)]
    NotAnInt32,
    /// SELECT of a database other than 0.
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    /// HELLO with a version other than 2 and 3.
    #[error("NOPROTO unsupported protocol version")]
    UnsupportedProtocol,
    /// HELLO with a version that is no integer.
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolVersionNotAnInteger,
    /// HELLO with an option that is unknown or unfinished.
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    /// CLIENT SETNAME or HELLO SETNAME with a byte outside `!` to `~`.
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    ClientName,
    /// CLIENT SETINFO with such a byte, for this attribute.
    #[error("ERR {0} cannot contain spaces, newlines or special characters.")]
    ClientAttribute(&'static str),
    /// CLIENT SETINFO with an attribute that does not exist.
    #[error("ERR Unrecognized option '{0}'")]
    UnknownClientAttribute(String),
    /// CLIENT LIST ID with something that is no id.
    #[error("ERR Invalid client ID")]
    InvalidClientId,
    /// CLIENT KILL ID with something that is no id.
    #[error("ERR client-id should be greater than 0")]
    ClientIdNotPositive,
    /// CLIENT KILL with an address that no client has.
    #[error("ERR No such client")]
    NoSuchClient,
    /// CLIENT LIST or KILL with a type that does not exist.
    #[error("ERR Unknown client type '{0}'")]
    UnknownClientType(String),
    /// CLIENT KILL with a user that does not exist.
    #[error("ERR No such user '{0}'")]
    NoSuchUser(String),
    /// A slot outside 0 to 16383.
    #[error("ERR Invalid slot")]
    InvalidSlot,
    /// A command on data from a client that monitors.
    #[error("ERR Replica can't interact with the keyspace")]
    MonitorAndData,
    /// SLOWLOG GET with a count that is no number, or below -1.
    #[error("ERR count should be greater than or equal to -1")]
    SlowLogCount,
    /// A subcommand with a number of arguments that it does not take.
    #[error("ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP.")]
    SubcommandSyntax {
        /// The subcommand as the client wrote it.
        name: String,
        /// The command in upper case.
        container: &'static str,
    },
    /// CLUSTER GETKEYSINSLOT with a slot or a count that cannot be.
    #[error("ERR Invalid slot or number of keys")]
    InvalidSlotOrCount,
    /// CLUSTER REPLICAS of a node that does not exist.
    #[error("ERR Unknown node {0}")]
    UnknownNode(String),
    /// COMMAND GETKEYS of an unknown command.
    #[error("ERR Invalid command specified")]
    GetKeysUnknownCommand,
    /// COMMAND GETKEYS of a command that takes no keys.
    #[error("ERR The command has no key arguments")]
    GetKeysWithoutKeys,
    /// COMMAND GETKEYS of a command with too few or too many arguments.
    #[error("ERR Invalid number of arguments specified for command")]
    GetKeysWrongArity,
    /// A subcommand with more arguments than it takes, where Redis counts them itself.
    #[error("ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP.")]
    SubcommandArguments {
        /// The subcommand in upper case.
        name: &'static str,
        /// The command in upper case.
        container: &'static str,
    },
    /// CLIENT PAUSE with a mode that does not exist.
    #[error("ERR CLIENT PAUSE mode must be WRITE or ALL")]
    PauseMode,
    /// CLIENT UNBLOCK with a reason that does not exist.
    #[error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")]
    UnblockReason,
    /// CLIENT TRACKING ON.
    #[error("ERR CLIENT TRACKING ON is not offered: this server does not tell clients of changes")]
    NoTracking,
    /// CLIENT CACHING.
    #[error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
    )]
    CachingWithoutTracking,
    /// SHUTDOWN ABORT.
    #[error("ERR No shutdown in progress.")]
    NoShutdown,
    /// QUORUM with a number that no quorum can have.
    #[error("ERR a quorum is from 1 to {0}, the number of replicas of each key")]
    QuorumOutOfRange(u16),
    /// CONFIG SET of a setting that does not exist.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    UnknownSetting(String),
    /// CONFIG SET of a value that is wrong, or of a setting that cannot change; nothing has changed.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")]
    SettingRefused {
        /// The setting as the client wrote it.
        name: String,
        /// What is wrong. Never the value.
        why: String,
    },
    /// CONFIG REWRITE on a node without a file.
    #[error("ERR The server is running without a config file")]
    NoConfigFile,
    /// CONFIG REWRITE on a node with one.
    #[error(
        "ERR Rewriting config file is not possible: all nodes share it; write what is to stay into cluster.toml yourself"
    )]
    NoRewrite,
    /// A command between nodes on a connection that has not introduced itself as a node.
    #[error(
        "NOPERM the '{0}' command is for nodes of this cluster; a connection has to introduce itself by RHELLO first"
    )]
    NotIntroduced(&'static str),
    /// A command about the node, its clients or the commands whose arguments are absurdly long.
    #[error("ERR the '{0}' command is too long: at most {REQUEST_BYTES_MAX} bytes")]
    TooLong(&'static str),
}

impl CommandError {
    /// No command is called `name`, which came with these arguments.
    #[must_use]
    pub fn unknown_command<'a>(name: &[u8], arguments: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::UnknownCommand { name: quotable(name), arguments: quote_arguments(arguments) }
    }

    /// `container` has no subcommand `name`.
    #[must_use]
    pub fn unknown_subcommand(container: &CommandSpec, name: &[u8]) -> Self {
        Self::UnknownSubcommand { name: quotable(name), container: container.name.to_ascii_uppercase() }
    }

    /// EXPIRE has no `option`.
    #[must_use]
    pub fn unsupported_option(option: &[u8]) -> Self {
        Self::UnsupportedOption(quotable(option))
    }

    /// `container`'s subcommand `name` does not take so many arguments.
    #[must_use]
    pub fn subcommand_syntax(name: &[u8], container: &'static str) -> Self {
        Self::SubcommandSyntax { name: quotable(name), container }
    }

    /// HELLO has no `option`, or it lacks its arguments.
    #[must_use]
    pub fn hello_option(option: &[u8]) -> Self {
        Self::HelloOption(quotable(option))
    }

    /// CLIENT SETINFO has no `attribute`.
    #[must_use]
    pub fn unknown_client_attribute(attribute: &[u8]) -> Self {
        Self::UnknownClientAttribute(quotable(attribute))
    }

    /// There is no type of client called `name`.
    #[must_use]
    pub fn unknown_client_type(name: &[u8]) -> Self {
        Self::UnknownClientType(quotable(name))
    }

    /// No node has this `id`.
    #[must_use]
    pub fn unknown_node(id: &[u8]) -> Self {
        Self::UnknownNode(quotable(id))
    }

    /// There is no setting called `name`.
    #[must_use]
    pub fn unknown_setting(name: &[u8]) -> Self {
        Self::UnknownSetting(quotable(name))
    }

    /// The setting `name` stays as it is.
    #[must_use]
    pub fn setting_refused(name: &[u8], why: String) -> Self {
        Self::SettingRefused { name: quotable(name), why }
    }

    /// There is no user called `name`.
    #[must_use]
    pub fn no_such_user(name: &[u8]) -> Self {
        Self::NoSuchUser(quotable(name))
    }
}

/// A client's bytes as they may stand in a line of text.
fn quotable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(cut(bytes, QUOTE_BYTES_MAX)).replace(['\r', '\n'], " ")
}

/// Arguments in quotes, a space after each, until [`QUOTE_BYTES_MAX`] bytes are reached; the last may be cut short.
fn quote_arguments<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = Vec::new();
    for argument in arguments {
        // The quotes around an argument may take the text past the bound, by three bytes at most.
        let Some(room) = QUOTE_BYTES_MAX.checked_sub(text.len()).filter(|&room| room > 0) else { break };
        text.push(b'\'');
        text.extend_from_slice(cut(argument, room));
        text.extend_from_slice(b"' ");
    }
    String::from_utf8_lossy(&text).replace(['\r', '\n'], " ")
}

/// The start of `bytes`: up to the first NUL, and no more than `bytes_max`.
fn cut(bytes: &[u8], bytes_max: usize) -> &[u8] {
    let window = &bytes[..bytes.len().min(bytes_max)];
    &window[..memchr::memchr(0, window).unwrap_or(window.len())]
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
