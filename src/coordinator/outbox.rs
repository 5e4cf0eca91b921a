//! What leaves for the peers: letters in the making, one for each, so that a batch costs a peer one message.

use bytes::Bytes;
use smallvec::SmallVec;

use super::journey::Passenger;
use crate::peer::{PeerRequest, RequestBatch};
use crate::replica::Copies;
use crate::ring::NodeIndex;

/// About what a message to a peer takes beside key and value.
const MESSAGE_BYTES: usize = 80;

/// What one message to a replica was about.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Write {
        attempt: usize,
    },
    Revert,
    Ask {
        round: u8,
    },
    WriteBack {
        round: u8,
    },
    Prepare,
    /// What an update is based on; nobody waits for the answer.
    Base,
}

/// One message's place: which operation, which replica of it, which step.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) operation: usize,
    pub(super) replica: usize,
    pub(super) step: Step,
}

/// What leaves for one peer together.
pub(super) struct Letter {
    pub(super) to: NodeIndex,
    pub(super) batch: RequestBatch,
    pub(super) items: Vec<Item>,
}

/// Letters in the making, one per peer.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) letters: SmallVec<[Letter; 4]>,
    /// What replicas out of reach miss.
    pub(super) unsent: Vec<(NodeIndex, Copies)>,
    /// How many messages, and bytes of them, a letter is expected to hold.
    room: (usize, usize),
}

impl Outbox {
    /// For letters of about these operations.
    pub(super) fn for_all(steps: &[Passenger]) -> Self {
        let bytes = |passenger: &Passenger| {
            MESSAGE_BYTES + passenger.key.len() + passenger.journey.value().map_or(0, Bytes::len)
        };
        Self { letters: SmallVec::new(), unsent: Vec::new(), room: (steps.len(), steps.iter().map(bytes).sum()) }
    }

    pub(super) fn push(&mut self, to: NodeIndex, request: &PeerRequest<'_>, item: Item) {
        let position = self.position(to);
        self.letters[position].batch.push(request);
        self.letters[position].items.push(item);
    }

    /// Puts the same write into the letters to several nodes; it is encoded once.
    pub(super) fn push_to_all(&mut self, to: impl Iterator<Item = (NodeIndex, Item)>, request: &PeerRequest<'_>) {
        let mut encoded: Option<(usize, usize)> = None;
        for (node, item) in to {
            let position = self.position(node);
            match encoded {
                None => {
                    let from = self.letters[position].batch.bytes().len();
                    self.letters[position].batch.push(request);
                    encoded = Some((position, from));
                }
                Some((first, from)) => {
                    if let Ok([source, target]) = self.letters.get_disjoint_mut([first, position]) {
                        target.batch.push_encoded(&source.batch.bytes()[from..]);
                    }
                }
            }
            let letter = &mut self.letters[position];
            letter.batch.keep();
            letter.items.push(item);
        }
    }

    /// What `node` misses, because it is out of reach.
    pub(super) fn unsent(&mut self, node: NodeIndex) -> &mut Copies {
        let position = self.unsent.iter().position(|(to, _)| *to == node).unwrap_or_else(|| {
            self.unsent.push((node, Copies::default()));
            self.unsent.len() - 1
        });
        &mut self.unsent[position].1
    }

    /// Where the letter to `node` is.
    pub(super) fn position(&mut self, to: NodeIndex) -> usize {
        self.letters.iter().position(|letter| letter.to == to).unwrap_or_else(|| {
            let (items, bytes) = self.room;
            let letter = Letter { to, batch: RequestBatch::with_capacity(bytes), items: Vec::with_capacity(items) };
            self.letters.push(letter);
            self.letters.len() - 1
        })
    }
}
