//! What is known about a command without executing it.
//!
//! One description serves the dispatcher (arity, keys), clients that route by COMMAND INFO, people who read COMMAND
//! DOCS and HELP. What Redis derives it derives here too ([`CommandSpec::categories`]), so a description cannot
//! contradict itself. Descriptions are constants, written with the chainable functions below.

pub use super::argument::{Argument, ArgumentKind};

/// Which command it is: a container, its subcommands and a plain command have one each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "a variant says no more than the command's name; the table has the summaries")]
#[rustfmt::skip]
pub enum CommandId {
    // Keys and values.
    Get, Set, MGet, MSet, StrLen, Del, Unlink, Exists, Type, Ttl, PTtl, ExpireTime, PExpireTime,
    Incr, Decr, IncrBy, DecrBy,
    Expire, PExpire, ExpireAt, PExpireAt, Persist, Touch, Dump, Restore,
    SetNx, SetEx, PSetEx, GetSet, GetDel, GetEx, MSetNx, Append, GetRange, SubStr, SetRange,
    Lcs,
    IncrByFloat,
    SetBit, GetBit, BitCount, BitPos, BitOp, BitField, BitFieldRo,
    Rename, RenameNx, Copy,
    Object, ObjectEncoding, ObjectFreq, ObjectHelp, ObjectIdleTime, ObjectRefCount, Memory, MemoryHelp, MemoryUsage,
    Scan, Keys, RandomKey,
    Wait,
    // The server.
    DbSize, FlushAll, FlushDb, Time, Info,
    Config, ConfigGet, ConfigHelp, ConfigResetStat,
    Latency, LatencyHelp, LatencyHistogram, LatencyHistory, LatencyLatest, LatencyReset,
    Monitor, SlowLog, SlowLogGet, SlowLogHelp, SlowLogLen, SlowLogReset,
    Command, CommandCount, CommandDocs, CommandGetKeys, CommandHelp, CommandInfo, CommandList,
    // The connection.
    Ping, Echo, Hello, Auth, Select, Quit, Reset,
    Client, ClientGetName, ClientHelp, ClientId, ClientInfo, ClientKill, ClientList, ClientNoEvict, ClientNoTouch,
    ClientSetInfo, ClientSetName,
    // The cluster.
    ReadOnly, ReadWrite,
    Cluster, ClusterCountKeysInSlot, ClusterHelp, ClusterInfo, ClusterKeySlot, ClusterMyId, ClusterNodes,
    ClusterShards, ClusterSlots,
    // The door.
    Acl, AclHelp, AclList, AclUsers, AclWhoAmI, ConfigRewrite, ConfigSet, Shutdown, Quorum,
    ClientCaching, ClientGetRedir, ClientPause, ClientReply, ClientTracking, ClientTrackingInfo, ClientUnblock,
    ClientUnpause, ClusterGetKeysInSlot, ClusterLinks, ClusterReplicas,
    // Between nodes.
    RHello, RSet, RDel, RCopy, RRevert, RGet, RMark, RKeys, RDigest, RCount, RClock, RBeat, RFlush,
    RPrepare, RAccept, RBase, RCall, RDone,
    RScan,
    RHold, RPlace, RTake, RSettle,
    RSums,
    RPick,
    RSets, RAgain, RGets,
}

/// The group under which the documentation files a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Keys, whatever their values.
    Generic,
    /// Values that are strings.
    String,
    /// Values that are rows of bits.
    Bitmap,
    /// The server as a whole.
    Server,
    /// The client's connection.
    Connection,
    /// Slots and nodes.
    Cluster,
    /// Between nodes; never shown.
    Internal,
}

impl Group {
    /// The name in COMMAND DOCS.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::Server => "server",
            Self::Connection => "connection",
            Self::Cluster => "cluster",
            Self::Internal => "internal",
        }
    }
}

/// A set of a command's properties.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u16);

impl Flags {
    /// No property.
    pub const NONE: Self = Self(0);
    /// May change data.
    pub const WRITE: Self = Self(1);
    /// Only reads data.
    pub const READONLY: Self = Self(1 << 1);
    /// Refused when memory is short.
    pub const DENYOOM: Self = Self(1 << 2);
    /// For those who run the server.
    pub const ADMIN: Self = Self(1 << 3);
    /// Not for scripts.
    pub const NOSCRIPT: Self = Self(1 << 4);
    /// Served while the node still catches up.
    pub const LOADING: Self = Self(1 << 5);
    /// Served while data may be old.
    pub const STALE: Self = Self(1 << 6);
    /// Takes constant or logarithmic time.
    pub const FAST: Self = Self(1 << 7);
    /// Served before authentication.
    pub const NO_AUTH: Self = Self(1 << 8);
    /// Served while a script blocks the others.
    pub const ALLOW_BUSY: Self = Self(1 << 9);
    /// Between nodes: served after an introduction alone, and never shown.
    pub const INTERNAL: Self = Self(1 << 10);
    /// Not within a transaction.
    pub const NO_MULTI: Self = Self(1 << 11);

    const NAMES: [(Self, &'static str); 11] = [
        (Self::WRITE, "write"),
        (Self::READONLY, "readonly"),
        (Self::DENYOOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::NOSCRIPT, "noscript"),
        (Self::LOADING, "loading"),
        (Self::STALE, "stale"),
        (Self::FAST, "fast"),
        (Self::NO_AUTH, "no_auth"),
        (Self::ALLOW_BUSY, "allow_busy"),
        (Self::NO_MULTI, "no_multi"),
    ];

    /// The properties of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every property of `other` is among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The properties' names in COMMAND INFO.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |&(flag, _)| self.contains(flag)).map(|(_, name)| name)
    }
}

/// A set of ACL categories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Categories(u16);

impl Categories {
    /// No category.
    pub const NONE: Self = Self(0);
    /// Keys, whatever their values.
    pub const KEYSPACE: Self = Self(1);
    /// Reads data.
    pub const READ: Self = Self(1 << 1);
    /// Changes data.
    pub const WRITE: Self = Self(1 << 2);
    /// Values that are strings.
    pub const STRING: Self = Self(1 << 3);
    /// For those who run the server.
    pub const ADMIN: Self = Self(1 << 4);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 5);
    /// Every command that is not fast.
    pub const SLOW: Self = Self(1 << 6);
    /// To be handed out with care.
    pub const DANGEROUS: Self = Self(1 << 7);
    /// The client's connection.
    pub const CONNECTION: Self = Self(1 << 8);
    /// Values that are rows of bits.
    pub const BITMAP: Self = Self(1 << 9);

    const NAMES: [(Self, &'static str); 10] = [
        (Self::KEYSPACE, "@keyspace"),
        (Self::READ, "@read"),
        (Self::WRITE, "@write"),
        (Self::STRING, "@string"),
        (Self::ADMIN, "@admin"),
        (Self::FAST, "@fast"),
        (Self::SLOW, "@slow"),
        (Self::DANGEROUS, "@dangerous"),
        (Self::CONNECTION, "@connection"),
        (Self::BITMAP, "@bitmap"),
    ];

    /// The categories of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every category of `other` is among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The categories' names, `@` included.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |&(category, _)| self.contains(category)).map(|(_, name)| name)
    }
}

/// Which arguments are keys, counted from the command's name at 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeySpec {
    /// The first key.
    pub first: u8,
    /// The last key; a negative number counts from the end, -1 being the last argument.
    pub last: i8,
    /// The distance from one key to the next.
    pub step: u8,
    /// How the keys are used, in the words of Redis 7: `RO`, `RW`, `OW` or `RM`, then what becomes of the value.
    pub access: &'static [&'static str],
    /// The keys behind these, if they are used in another way.
    pub then: Option<&'static KeySpec>,
}

impl KeySpec {
    /// The first argument is the only key.
    pub(super) const fn first(access: &'static [&'static str]) -> Self {
        Self { first: 1, last: 1, step: 1, access, then: None }
    }

    /// The first two arguments are the keys.
    pub(super) const fn first_two(access: &'static [&'static str]) -> Self {
        Self { last: 2, ..Self::first(access) }
    }

    /// The second argument is the only key.
    pub(super) const fn second(access: &'static [&'static str]) -> Self {
        Self { first: 2, last: 2, ..Self::first(access) }
    }

    /// From the first argument on, every `step`-th is a key.
    pub(super) const fn every(step: u8, access: &'static [&'static str]) -> Self {
        Self { first: 1, last: -1, step, access, then: None }
    }

    /// These keys, and then those.
    pub(super) const fn then(self, then: &'static Self) -> Self {
        Self { then: Some(then), ..self }
    }

    /// These keys, and those behind them that are used in another way.
    pub fn each(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |spec| spec.then.copied())
    }

    /// The indices of the keys in a request of `len` arguments, the command's name included.
    pub fn positions(self, len: usize) -> impl Iterator<Item = usize> {
        self.each().flat_map(move |spec| spec.own_positions(len))
    }

    fn own_positions(self, len: usize) -> impl Iterator<Item = usize> {
        let distance = usize::from(self.last.unsigned_abs());
        let end = if self.last < 0 { (len + 1).saturating_sub(distance) } else { len.min(distance + 1) };
        (usize::from(self.first)..end).step_by(usize::from(self.step))
    }
}

/// What is known about one command or subcommand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandSpec {
    /// Which command it is.
    pub id: CommandId,
    /// The name in lower case; a subcommand's is `container|subcommand`.
    pub name: &'static str,
    /// The number of arguments, names included; a negative number is a minimum.
    pub arity: i8,
    /// One sentence on what it does.
    pub summary: &'static str,
    /// Where the documentation files it.
    pub group: Group,
    /// The version that brought it: of Redis, or of ringkv for commands between nodes.
    pub since: &'static str,
    /// How its cost grows.
    pub complexity: &'static str,
    /// Its properties.
    pub flags: Flags,
    /// Categories that its flags do not imply.
    pub explicit_categories: Categories,
    /// Hints for clients that talk to several nodes.
    pub tips: &'static [&'static str],
    /// Where its keys are, if it has any.
    pub keys: Option<KeySpec>,
    /// Its documented arguments.
    pub arguments: &'static [Argument],
    /// Whether a call is too short to be timed alone: reading the clock costs a tenth of a plain SET. These are what
    /// Redis calls fast, and SET; never what peers ask, which is dispatched elsewhere.
    pub plain: bool,
    /// What a container contains.
    pub subcommands: &'static [CommandSpec],
}

impl CommandSpec {
    /// Whether a request of `len` arguments, names included, has as many as this command wants.
    #[must_use]
    pub fn accepts(&self, len: usize) -> bool {
        let wanted = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { len >= wanted } else { len == wanted }
    }

    /// The name that follows the container's, or the whole name outside a container.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, short)| short)
    }

    /// Whether it is a command between nodes, hidden from clients.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.flags.contains(Flags::INTERNAL)
    }

    /// Whether one call may take as long as hundreds of reads: what tells of the node, its clients or the commands.
    /// A pipeline of these must not hold up the others.
    #[must_use]
    pub fn is_laborious(&self) -> bool {
        self.keys.is_none() && !self.flags.contains(Flags::FAST) && !self.is_internal()
    }

    /// The ACL categories: those given, and those that follow from the flags.
    #[must_use]
    pub fn categories(&self) -> Categories {
        let implied = |flag, category| if self.flags.contains(flag) { category } else { Categories::NONE };
        let speed = if self.flags.contains(Flags::FAST) { Categories::FAST } else { Categories::SLOW };
        self.explicit_categories
            .and(implied(Flags::WRITE, Categories::WRITE))
            .and(implied(Flags::READONLY, Categories::READ))
            .and(implied(Flags::ADMIN, Categories::ADMIN.and(Categories::DANGEROUS)))
            .and(speed)
    }

    /// A command without flags, keys or documented arguments.
    pub(super) const fn new(id: CommandId, name: &'static str, arity: i8, summary: &'static str) -> Self {
        Self {
            id,
            name,
            arity,
            summary,
            group: Group::Generic,
            since: "1.0.0",
            complexity: "O(1)",
            flags: Flags::NONE,
            explicit_categories: Categories::NONE,
            tips: &[],
            keys: None,
            arguments: &[],
            plain: false,
            subcommands: &[],
        }
    }

    pub(super) const fn filed(self, group: Group, since: &'static str, complexity: &'static str) -> Self {
        Self { group, since, complexity, ..self }
    }

    pub(super) const fn flags(self, flags: Flags) -> Self {
        let is_fast = flags.contains(Flags::FAST) && !flags.contains(Flags::INTERNAL);
        let plain = is_fast || matches!(self.id, CommandId::Set);
        Self { flags, plain, ..self }
    }

    pub(super) const fn also_in(self, explicit_categories: Categories) -> Self {
        Self { explicit_categories, ..self }
    }

    pub(super) const fn tips(self, tips: &'static [&'static str]) -> Self {
        Self { tips, ..self }
    }

    pub(super) const fn keys(self, keys: KeySpec) -> Self {
        Self { keys: Some(keys), ..self }
    }

    pub(super) const fn arguments(self, arguments: &'static [Argument]) -> Self {
        Self { arguments, ..self }
    }

    pub(super) const fn subcommands(self, subcommands: &'static [Self]) -> Self {
        Self { subcommands, ..self }
    }
}
