//! Replies on their way to a client: the pieces that it has not taken yet, whichever memory they lie in.

use std::io::IoSlice;

use smallvec::SmallVec;

/// Pieces that one write takes at most. Some more would not make it cheaper.
const SLICES_MAX: usize = 16;

/// What is still to be sent, in order.
#[derive(Debug)]
pub(super) struct Unsent<'a> {
    pieces: &'a [&'a [u8]],
    /// Bytes of the first piece that are sent.
    taken: usize,
    bytes: usize,
}

impl<'a> Unsent<'a> {
    pub(super) fn new(pieces: &'a [&'a [u8]]) -> Self {
        Self { pieces, taken: 0, bytes: pieces.iter().map(|piece| piece.len()).sum() }
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// The first of them, `bytes_max` at most, for one write.
    pub(super) fn slices(&self, bytes_max: usize) -> SmallVec<[IoSlice<'a>; SLICES_MAX]> {
        let (mut slices, mut room, mut taken) = (SmallVec::new(), bytes_max, self.taken);
        for piece in self.pieces {
            let rest = &piece[taken..];
            taken = 0;
            if room == 0 || slices.len() == SLICES_MAX {
                break;
            }
            let slice = &rest[..rest.len().min(room)];
            room -= slice.len();
            if !slice.is_empty() {
                slices.push(IoSlice::new(slice));
            }
        }
        slices
    }

    /// The client has taken the first `count` bytes.
    pub(super) fn advance(&mut self, count: usize) {
        self.bytes -= count;
        self.taken += count;
        while let Some((first, others)) = self.pieces.split_first().filter(|(first, _)| self.taken >= first.len()) {
            self.taken -= first.len();
            self.pieces = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(unsent: &Unsent<'_>, bytes_max: usize) -> Vec<String> {
        unsent.slices(bytes_max).iter().map(|slice| String::from_utf8(slice.to_vec()).unwrap()).collect()
    }

    #[test]
    fn pieces_are_taken_across_their_borders() {
        let pieces: [&[u8]; 5] = [b"", b"abc", b"", b"de", b"f"];
        let mut unsent = Unsent::new(&pieces);
        assert_eq!((unsent.len(), shown(&unsent, 100)), (6, vec!["abc".into(), "de".into(), "f".into()]));
        assert_eq!(shown(&unsent, 4), ["abc", "d"]);
        unsent.advance(2);
        assert_eq!(shown(&unsent, 2), ["c", "d"]);
        unsent.advance(1);
        assert_eq!(shown(&unsent, 2), ["de"]);
        unsent.advance(3);
        assert_eq!((unsent.len(), shown(&unsent, 9)), (0, vec![]));
    }

    #[test]
    fn any_way_of_taking_them_gives_the_same_bytes() {
        let (long, pieces) = (vec![b'x'; 40], (0..50).map(|number| vec![number; usize::from(number) % 7]));
        let mut pieces: Vec<Vec<u8>> = pieces.collect();
        pieces.insert(20, long);
        let expected = pieces.concat();
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        for (room, step) in [(1, 1), (7, 3), (64, 64), (1000, 11)] {
            let (mut unsent, mut got) = (Unsent::new(&pieces), Vec::new());
            while unsent.len() > 0 {
                let part: Vec<u8> = unsent.slices(room).iter().flat_map(|slice| slice.to_vec()).collect();
                let count = part.len().min(step);
                got.extend_from_slice(&part[..count]);
                unsent.advance(count);
            }
            assert_eq!(got, expected, "{room} {step}");
        }
    }
}
