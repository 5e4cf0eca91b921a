//! Who may come in, and how much whoever it is may say.

use crate::codec::DecodeLimits;
use crate::command::{Server, State};

/// Bytes of one argument of a connection that has to authenticate, as Redis has it.
const STRANGERS_BULK_BYTES_MAX: usize = 16 << 10;
/// Arguments of one request of such a connection: more than any introduction has.
const STRANGERS_ARGUMENTS_MAX: usize = 512;

/// What a client reads when there is no room for it.
pub const TURNED_AWAY: &[u8] = b"-ERR max number of clients reached\r\n";

/// What a client of another machine reads while the node is in protected mode.
pub const DENIED: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is \
set for the default user. In this mode connections are only accepted from the loopback interface. If you want to connect \
from external computers to this node of ringkv you may adopt one of the following solutions: 1) Just disable protected \
mode sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting from the same host the \
node is running on, however MAKE SURE it is not publicly accessible from internet if you do so. 2) Alternatively you can \
just disable the protected mode by writing 'protected_mode = false' below [server] in cluster.toml, and then restarting \
the node. 3) If you started the node manually just for testing, restart it with the '--protected-mode no' option. 4) Set \
up an authentication password, 'requirepass' below [server] in cluster.toml or '--requirepass'. NOTE: You only need to do \
one of the above things in order for the node to start accepting connections from the outside.\r\n";

/// Whom there is room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Anybody.
    Anybody,
    /// A node of the cluster alone, which has to introduce itself first and soon. Whoever else it is reads this.
    Peer(&'static [u8]),
}

/// Whether nothing is known of the connection: neither a password was said nor an introduction made, and one is needed.
pub(super) fn is_stranger(state: &State) -> bool {
    state.peer.is_none() && !state.authenticated
}

/// What a client may send, or the node that a connection has introduced itself as. One node may take larger values from
/// its clients than another: a peer's link must not break over that. A stranger has few words to say, a password or an
/// introduction, and may not fill the memory with more.
pub(super) fn limits(server: &Server, state: &State) -> DecodeLimits {
    match state.peer {
        Some(_) => DecodeLimits::between_nodes(),
        None if is_stranger(state) => DecodeLimits {
            bulk_bytes_max: STRANGERS_BULK_BYTES_MAX,
            arguments_max: STRANGERS_ARGUMENTS_MAX,
            ..DecodeLimits::default()
        },
        None => DecodeLimits { bulk_bytes_max: server.live.max_value_bytes(), ..DecodeLimits::default() },
    }
}
