//! Updates: commands whose outcome depends on what the key holds, INCR for one.
//!
//! What such a command does to a key is a plain function of what the key holds, a [`Rule`]. Where and how often that is called
//! is this module's affair:
//!
//! * A key with one replica is changed there under the lock of its slot (`here.rs`).
//! * Otherwise the command is carried to the key's *home*, the first replica of its preference list that can be reached and
//!   has caught up (`carry.rs`). There the updates of a slot wait for one another (`queue.rs`), so that they hardly
//!   ever meet at the replicas.
//! * The home asks the replicas and writes what follows from their answers (`round.rs`), under a ballot that they have promised
//!   (`store/promise.rs`). All updates that wait for a slot take part in one round; those of one key are worked out one after
//!   the other, and the last result is written.
//!
//! A home is a habit, not an office. Nodes that disagree about who is alive may both work on a key, and so may a home that was
//! given up but goes on; then the replicas' promises see to it that one of them begins again. So no update is lost and
//! none takes effect twice, as long as write quorums meet (2W > N): the price of a disagreement is time. An update whose
//! home dies with it, or that cannot be taken back with certainty, ends as INDETERMINATE, as any write does. Left on a replica that
//! nobody could ask, it may take effect late; replicas therefore never forget a promise, so that nothing older can have been
//! acknowledged meanwhile that it has not seen (`store/promise.rs`).
//!
//! A replica that may not take a copy because of that has the key *settled*: the coordinator beside it carries out an update which
//! changes nothing, under a ballot that is above all that was promised.

mod carry;
mod here;
mod order;
mod queue;
mod round;

pub use order::{Change, Changes, Held, Rule, UpdateOrder, UpdateWords, Work};
pub use queue::{ParseUpdate, run};

pub(super) use queue::UpdateQueue;
