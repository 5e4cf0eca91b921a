//! What leaves for the peers: letters in the making, one for each, so that a batch costs a peer one message.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::codec::LARGE_BULK_BYTES;
use crate::peer::{FreshWrite, PeerRequest, Records, RequestBatch};
use crate::replica::Copies;
use crate::ring::NodeIndex;
use crate::time::UnixMs;
use crate::version::Version;

/// About what a message to a peer takes beside key and value.
const MESSAGE_BYTES: usize = 80;

/// A letter about fewer operations than this is short: with that many, the letter itself costs little of what they cost.
const SHORT_LETTER_ITEMS: usize = 32;

/// The longest value that shares its request with others: a longer one is to be seen to arrive.
pub(super) const SHARING_VALUE_BYTES_MAX: usize = 4 << 10;
/// A request takes no more records, or keys to read, once they have so many bytes.
pub(super) const SHARED_BYTES_MAX: usize = 32 << 10;

/// About what a message takes that has this key and perhaps a value, which is not copied if it is large.
pub(super) fn message_bytes(key: &Bytes, value: Option<&Bytes>) -> usize {
    MESSAGE_BYTES + key.len() + value.map_or(0, Bytes::len).min(LARGE_BULK_BYTES)
}

/// Whether a write of this value may share its request with others.
pub(super) fn may_share(value: &[u8], expires_at: Option<UnixMs>) -> bool {
    expires_at.is_none() && value.len() <= SHARING_VALUE_BYTES_MAX
}

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
    /// The requests that are about several items.
    pub(super) shared: Shared,
    /// Writes that are to share the next request, by their places in [`Outbox::fresh`]. Theirs are the last items.
    waiting: Vec<usize>,
    waiting_bytes: usize,
    /// How many keys are to be asked for by the next request, and these. Theirs are the last items then.
    asked: usize,
    asked_keys: Vec<u8>,
}

/// Requests that are about several items each: the first of these, and how many.
pub(super) type Shared = SmallVec<[(usize, usize); 1]>;

/// A write that may share its request with others.
struct Fresh {
    version: Version,
    /// Where its record ends in [`Outbox::records`]; it begins where the one before ends.
    end: usize,
}

/// Letters in the making, one per peer.
#[derive(Default)]
pub(super) struct Outbox {
    letters: SmallVec<[Letter; 4]>,
    /// What replicas out of reach miss.
    unsent: Vec<(NodeIndex, Copies)>,
    /// How many messages, and bytes of them, a letter is expected to hold.
    room: (usize, usize),
    /// Writes that share requests: each is encoded once.
    fresh: Vec<Fresh>,
    /// Their records.
    records: Vec<u8>,
}

impl Outbox {
    /// For letters of about these operations, each with a key and perhaps a value.
    pub(super) fn with_room<'b>(operations: impl Iterator<Item = (&'b Bytes, Option<&'b Bytes>)>) -> Self {
        let add = |(count, bytes), (key, value)| (count + 1, bytes + message_bytes(key, value));
        Self { room: operations.fold((0, 0), add), ..Self::default() }
    }

    pub(super) fn push(&mut self, to: NodeIndex, request: &PeerRequest<'_>, item: Item) {
        let position = self.position(to);
        self.close(position);
        self.letters[position].batch.push(request);
        self.letters[position].items.push(item);
    }

    /// Whether something leaves for this node anyway, about a few operations.
    pub(super) fn has_short_letter(&self, to: NodeIndex) -> bool {
        self.letters.iter().any(|letter| letter.to == to && letter.items.len() < SHORT_LETTER_ITEMS)
    }

    /// Asks a node for what it shows of `key`, in one request with others.
    pub(super) fn ask(&mut self, to: NodeIndex, key: &[u8], item: Item) {
        let position = self.position(to);
        let letter = &self.letters[position];
        if !letter.waiting.is_empty() || letter.asked_keys.len() > SHARED_BYTES_MAX {
            self.close(position);
        }
        let letter = &mut self.letters[position];
        if letter.asked == 0 {
            letter.asked_keys.reserve(self.room.1);
        }
        Records::encode_key(key, &mut letter.asked_keys);
        letter.asked += 1;
        letter.items.push(item);
    }

    /// Puts the same write into the letters to several nodes; it is encoded once.
    pub(super) fn push_to_all(&mut self, to: impl Iterator<Item = (NodeIndex, Item)>, request: &PeerRequest<'_>) {
        match *request {
            PeerRequest::Write { key, value: Some(value), version, expires_at } if may_share(value, expires_at) => {
                self.push_fresh(to, &FreshWrite { key, value, version });
            }
            _ => self.push_alone(to, request),
        }
    }

    /// The same for a large value, which is not copied.
    pub(super) fn push_large_to_all(
        &mut self,
        to: impl Iterator<Item = (NodeIndex, Item)>,
        (key, value, version): (&[u8], &Bytes, Version),
        expires_at: Option<UnixMs>,
    ) {
        for (node, item) in to {
            let position = self.position(node);
            self.close(position);
            let Letter { batch, items, .. } = &mut self.letters[position];
            batch.push_write(key, value, version, expires_at);
            batch.keep();
            items.push(item);
        }
    }

    fn push_alone(&mut self, to: impl Iterator<Item = (NodeIndex, Item)>, request: &PeerRequest<'_>) {
        let mut encoded: Option<(usize, usize)> = None;
        for (node, item) in to {
            let position = self.position(node);
            self.close(position);
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

    fn push_fresh(&mut self, to: impl Iterator<Item = (NodeIndex, Item)>, write: &FreshWrite<'_>) {
        let from = self.records.len();
        if self.fresh.is_empty() {
            self.fresh.reserve(self.room.0);
            self.records.reserve(self.room.1);
        }
        FreshWrite::encode_record(write.key, write.value, &mut self.records);
        let place = self.fresh.len();
        self.fresh.push(Fresh { version: write.version, end: self.records.len() });
        for (node, item) in to {
            let position = self.position(node);
            let last = self.letters[position].waiting.last().map(|&last| self.fresh[last].version);
            let is_full = self.letters[position].waiting_bytes > SHARED_BYTES_MAX;
            let is_asked = self.letters[position].asked > 0;
            if is_full || is_asked || last.is_some_and(|last| !FreshWrite::may_follow(write.version, last)) {
                self.close(position);
            }
            let letter = &mut self.letters[position];
            if letter.waiting.is_empty() {
                letter.waiting.reserve(self.room.0);
            }
            letter.waiting.push(place);
            letter.waiting_bytes += self.records.len() - from;
            letter.items.push(item);
        }
    }

    /// Makes a request of the writes, or of the keys to read, that wait for more to share it.
    fn close(&mut self, position: usize) {
        let Self { letters, fresh, records, .. } = self;
        let Letter { batch, items, shared, waiting, waiting_bytes, asked, asked_keys, .. } = &mut letters[position];
        if *asked > 0 {
            batch.push_with(|out| Records::encode_question(*asked, asked_keys, out));
            if *asked > 1 {
                shared.push((items.len() - *asked, *asked));
            }
            *asked = 0;
            return asked_keys.clear();
        }
        let record =
            |place: usize| &records[place.checked_sub(1).map_or(0, |before| fresh[before].end)..fresh[place].end];
        match waiting.as_slice() {
            [] => return,
            &[place] => batch.push_with(|out| FreshWrite::encode_alone(record(place), fresh[place].version, out)),
            places => {
                shared.push((items.len() - places.len(), places.len()));
                batch.push_with(|out| {
                    FreshWrite::encode_head(places.iter().map(|&place| fresh[place].version), out);
                    for &place in places {
                        out.extend_from_slice(record(place));
                    }
                });
            }
        }
        batch.keep();
        waiting.clear();
        *waiting_bytes = 0;
    }

    /// The letters, complete, and what replicas out of reach miss.
    pub(super) fn finish(mut self) -> (SmallVec<[Letter; 4]>, Vec<(NodeIndex, Copies)>) {
        (0..self.letters.len()).for_each(|position| self.close(position));
        (self.letters, self.unsent)
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
    fn position(&mut self, to: NodeIndex) -> usize {
        self.letters.iter().position(|letter| letter.to == to).unwrap_or_else(|| {
            let (items, bytes) = self.room;
            let letter = Letter {
                to,
                batch: RequestBatch::with_capacity(bytes),
                items: Vec::with_capacity(items),
                shared: Shared::new(),
                waiting: Vec::new(),
                waiting_bytes: 0,
                asked: 0,
                asked_keys: Vec::new(),
            };
            self.letters.push(letter);
            self.letters.len() - 1
        })
    }
}
