//! RSCAN: SCAN and KEYS ask a node for the keys that it answers for, from a place on. Also RPICK and RSUMS.
//!
//! One question goes through many slots, for most may be empty, and asks of each only those replicas whose word counts:
//! the sender names the nodes within its reach, so that each of them knows for which slots it is one of the first.

use bytes::Bytes;

use super::message::PeerRequest;
use super::words::{ParseError, bulk_number, bulk_version, parse_number, parse_position, parse_slot, wrong_argument};
use crate::codec::reply;
use crate::ring::{KeyPlace, NodeIndex, SLOT_COUNT, Slot};
use crate::version::{VERSION_TEXT_BYTES, Version};

/// Opens the array of an answer.
pub(super) const SCAN: &[u8] = b"SCAN";
/// In place of where an answer stops, if it does not stop early.
const TO_THE_END: &[u8] = b"-";
/// Stands behind the version of a tombstone.
const GONE: &[u8] = b" gone";

/// What is asked: `RSCAN place until-slot count node[,node..] [position end]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanQuestion {
    /// From where on.
    pub from: KeyPlace,
    /// The number of the slot before which to stop, at most the number of slots.
    pub until: u16,
    /// How many keys would do. A large slot may give more, and no answer takes longer than some milliseconds.
    pub count: usize,
    /// The nodes within the sender's reach that count, itself included. The receiver answers for those slots of which it
    /// is among the first N-W+1 replicas that are named here.
    pub nodes: Vec<NodeIndex>,
    /// What an answer left over of the page that begins at `from`.
    pub rest: Option<ScanRest>,
}

/// What an answer left over of a page of a large slot. Means nothing to another process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanRest {
    /// Where the receiver goes on.
    pub position: u32,
    /// The hash before which the page ends.
    pub end: u64,
}

/// Where an answer stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanStop {
    /// All keys before this place were told.
    pub place: KeyPlace,
    /// Some of those from there on were, and the rest has to be asked for.
    pub rest: Option<ScanRest>,
}

/// What is answered: an array of `SCAN`, the newest FLUSHALL, where the answer stops or `-`, then key and version by
/// turns, with the word `gone` behind the version of a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanAnswer {
    /// The newest FLUSHALL that the receiver knows of: what is older is gone, also where another has missed it.
    pub flush_mark: Version,
    /// Where it stops; `None` if no slot is left.
    pub stop: Option<ScanStop>,
    /// By their places.
    pub keys: Vec<ScannedKey>,
}

/// A key of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScannedKey {
    /// The key.
    pub key: Bytes,
    /// The stamp of the write that it shows.
    pub version: Version,
    /// It is a tombstone, or has expired.
    pub is_gone: bool,
}

impl ScanQuestion {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        reply::array(out, if self.rest.is_some() { 7 } else { 5 });
        reply::bulk(out, b"RSCAN");
        bulk_number(self.from.cursor(), out);
        bulk_number(self.until.into(), out);
        bulk_number(self.count as u64, out);
        reply::bulk(out, shown_nodes(&self.nodes).as_bytes());
        if let Some(ScanRest { position, end }) = self.rest {
            bulk_number(position.into(), out);
            bulk_number(end, out);
        }
    }

    /// Reads the arguments behind the word; `None` if there are too few or too many.
    pub(super) fn parse(args: &[&[u8]]) -> Option<Result<Self, ParseError>> {
        let (&[from, until, count, nodes], rest) = args.split_first_chunk()?;
        let rest = match rest {
            [] => None,
            [position, end] => Some(parse_rest(position, end)),
            _ => return None,
        };
        let question = || {
            Ok(Self {
                from: parse_place(from)?,
                until: parse_until(until)?,
                count: parse_count(count)?,
                nodes: parse_nodes(nodes)?,
                rest: rest.transpose()?,
            })
        };
        Some(question())
    }
}

impl ScanAnswer {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        reply::array(out, 2 * self.keys.len() + 3);
        reply::bulk(out, SCAN);
        bulk_version(self.flush_mark, out);
        match self.stop {
            None => reply::bulk(out, TO_THE_END),
            Some(stop) => reply::bulk(out, stop.to_text().as_bytes()),
        }
        for ScannedKey { key, version, is_gone } in &self.keys {
            reply::bulk(out, key);
            if *is_gone {
                reply::bulk(out, &[version.to_text().as_slice(), GONE].concat());
            } else {
                bulk_version(*version, out);
            }
        }
    }

    /// Reads what follows the array's first word.
    pub(super) fn parse(parts: &[Bytes]) -> Option<Self> {
        let [flush_mark, stop, keys @ ..] = parts else { return None };
        let stop = if stop == TO_THE_END { None } else { Some(ScanStop::parse(stop)?) };
        let (pairs, []) = keys.as_chunks::<2>() else { return None };
        let key = |[key, about]: &[Bytes; 2]| {
            let (version, word) = about.split_at_checked(VERSION_TEXT_BYTES)?;
            let is_gone = word == GONE;
            let version = Version::parse(version).filter(|_| is_gone || word.is_empty())?;
            Some(ScannedKey { key: key.clone(), version, is_gone })
        };
        let keys = pairs.iter().map(key).collect::<Option<_>>()?;
        Some(Self { flush_mark: Version::parse(flush_mark)?, stop, keys })
    }
}

impl ScanStop {
    fn to_text(self) -> String {
        match self.rest {
            None => self.place.cursor().to_string(),
            Some(ScanRest { position, end }) => format!("{} {position} {end}", self.place.cursor()),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let words: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
        let (place, rest) = match *words.as_slice() {
            [place] => (place, None),
            [place, position, end] => (place, Some(parse_rest(position, end).ok()?)),
            _ => return None,
        };
        Some(Self { place: parse_place(place).ok()?, rest })
    }
}

pub(super) fn encode_pick(draws: [u64; 2], nodes: &[NodeIndex], out: &mut Vec<u8>) {
    reply::array(out, 4);
    reply::bulk(out, b"RPICK");
    for draw in draws {
        bulk_number(draw, out);
    }
    reply::bulk(out, shown_nodes(nodes).as_bytes());
}

pub(super) fn parse_pick<'a>(draws: [&[u8]; 2], nodes: &[u8]) -> Result<PeerRequest<'a>, ParseError> {
    let draw = |text| parse_number(text).ok_or_else(|| wrong_argument("random number", text));
    Ok(PeerRequest::Pick { draws: [draw(draws[0])?, draw(draws[1])?], nodes: parse_nodes(nodes)? })
}

pub(super) fn encode_sums(slots: &[Slot], out: &mut Vec<u8>) {
    let numbers: Vec<String> = slots.iter().map(|slot| slot.number().to_string()).collect();
    out.extend_from_slice(b"*2\r\n$5\r\nRSUMS\r\n");
    reply::bulk(out, numbers.join(",").as_bytes());
}

pub(super) fn parse_slots(text: &[u8]) -> Result<Vec<Slot>, ParseError> {
    text.split(|&byte| byte == b',').map(parse_slot).collect()
}

/// The list that [`parse_nodes`] reads.
pub(super) fn shown_nodes(nodes: &[NodeIndex]) -> String {
    let names: Vec<String> = nodes.iter().map(|node| node.0.to_string()).collect();
    names.join(",")
}

pub(super) fn parse_nodes(text: &[u8]) -> Result<Vec<NodeIndex>, ParseError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let node = |text: &[u8]| parse_number(text).and_then(|number| u16::try_from(number).ok()).map(NodeIndex);
    text.split(|&byte| byte == b',')
        .map(node)
        .collect::<Option<_>>()
        .ok_or_else(|| wrong_argument("list of nodes", text))
}

fn parse_rest(position: &[u8], end: &[u8]) -> Result<ScanRest, ParseError> {
    let hash = parse_number(end).filter(|&end| end <= KeyPlace::HASHES);
    Ok(ScanRest { position: parse_position(position)?, end: hash.ok_or_else(|| wrong_argument("hash", end))? })
}

fn parse_place(text: &[u8]) -> Result<KeyPlace, ParseError> {
    parse_number(text).and_then(KeyPlace::from_cursor).ok_or_else(|| wrong_argument("place of a key", text))
}

fn parse_until(text: &[u8]) -> Result<u16, ParseError> {
    let number = parse_number(text).and_then(|number| u16::try_from(number).ok());
    number.filter(|&number| number <= SLOT_COUNT).ok_or_else(|| wrong_argument("number of a slot", text))
}

fn parse_count(text: &[u8]) -> Result<usize, ParseError> {
    let number = parse_number(text).and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| wrong_argument("number of keys", text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PeerReply;
    use super::super::testing::{decode_replies, decode_requests, versions};
    use super::*;

    fn rests() -> impl Strategy<Value = Option<ScanRest>> {
        prop::option::of((any::<u32>(), 0..=KeyPlace::HASHES).prop_map(|(position, end)| ScanRest { position, end }))
    }

    fn places() -> impl Strategy<Value = KeyPlace> {
        any::<Vec<u8>>().prop_map(|key| KeyPlace::of_key(&key))
    }

    prop_compose! {
        fn questions()(
            from in places(),
            until in 0..=SLOT_COUNT,
            count in any::<usize>(),
            nodes in prop::collection::vec(any::<u16>().prop_map(NodeIndex), 0..5),
            rest in rests(),
        ) -> ScanQuestion {
            ScanQuestion { from, until, count, nodes, rest }
        }
    }

    prop_compose! {
        fn answers()(
            flush_mark in versions(),
            stop in prop::option::of((places(), rests())),
            keys in prop::collection::vec((any::<Vec<u8>>(), versions(), any::<bool>()), 0..9),
        ) -> ScanAnswer {
            let key = |(key, version, is_gone)| ScannedKey { key: Bytes::from(key), version, is_gone };
            let stop = stop.map(|(place, rest)| ScanStop { place, rest });
            ScanAnswer { flush_mark, stop, keys: keys.into_iter().map(key).collect() }
        }
    }

    proptest! {
        #[test]
        fn questions_and_answers_survive_a_round_trip(
            question in questions(),
            answer in answers(),
            slots in prop::collection::vec(places().prop_map(KeyPlace::slot), 1..9),
            draws in any::<[u64; 2]>(),
        ) {
            let nodes = question.nodes.clone();
            let (mut encoded, mut answered) = (Vec::new(), Vec::new());
            PeerRequest::Scan(question.clone()).encode(&mut encoded);
            PeerReply::Scan(answer.clone()).encode(&mut answered);

            PeerRequest::Sums { slots: slots.clone() }.encode(&mut encoded);
            PeerRequest::Pick { draws, nodes: nodes.clone() }.encode(&mut encoded);
            let decoded = decode_requests(&encoded);
            let decoded: Vec<_> = decoded.iter().collect();
            let [asked, sums, picked] = decoded.as_slice() else { panic!("three were encoded") };
            prop_assert_eq!(PeerRequest::parse(picked), Ok(PeerRequest::Pick { draws, nodes }));
            prop_assert_eq!(PeerRequest::parse(sums), Ok(PeerRequest::Sums { slots }));
            prop_assert_eq!(PeerRequest::parse(asked), Ok(PeerRequest::Scan(question)));
            prop_assert_eq!(PeerReply::from_frame(decode_replies(&answered).remove(0)), Ok(PeerReply::Scan(answer)));
        }
    }

    #[test]
    fn questions_that_nobody_asks_are_refused_by_name() {
        let refusal = |line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            PeerRequest::parse_args(&args).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(refusal("RSCAN 0 16384 10 0,1"), Ok(()));
        for (line, text) in [
            ("RSCAN 0 16384 10", "wrong arguments for 'RSCAN'"),
            ("RSCAN 0 16384 10 0 5", "wrong arguments for 'RSCAN'"),
            ("RSCAN 9223372036854775808 16384 10 0", "'9223372036854775808' is not a place of a key"),
            ("RSCAN 0 16385 10 0", "'16385' is not a number of a slot"),
            ("RSCAN 0 1 ten 0", "'ten' is not a number of keys"),
            ("RSCAN 0 1 10 x", "'x' is not a list of nodes"),
            ("RSCAN 0 1 10 0 x 5", "'x' is not a position"),
            ("RPICK 1 x 0", "'x' is not a random number"),
            ("RSUMS 16384", "'16384' is not a slot"),
            ("RSUMS 1,,2", "'' is not a slot"),
            ("RSCAN 0 1 10 0 5 562949953421313", "'562949953421313' is not a hash"),
        ] {
            assert_eq!(refusal(line), Err(text.to_owned()), "{line}");
        }
    }

    #[test]
    fn answers_that_no_node_gives_are_refused() {
        let mark = Bytes::copy_from_slice(&Version::default().to_text());
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        for parts in [
            vec![mark.clone()],
            vec![bytes("x"), bytes("-")],
            vec![mark.clone(), bytes("1 2")],
            vec![mark.clone(), bytes("-"), bytes("key")],
            vec![mark.clone(), bytes("-"), bytes("key"), bytes("x")],
        ] {
            assert_eq!(ScanAnswer::parse(&parts), None, "{parts:?}");
        }
    }
}
