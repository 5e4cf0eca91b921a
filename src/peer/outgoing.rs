//! Bytes on their way to a socket: many small batches in one chunk, large ones untouched.
//!
//! Copying each small batch behind the last makes one write of them all. A batch with a large value is kept as the
//! chunk that it is: copied, it would be in memory twice for every replica.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Deref;

use bytes::{Buf, Bytes};

/// A chunk this large takes no more, and a batch this large is not copied.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks to write, in order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Never empty ones.
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk is written. Below its length.
    written: usize,
    /// Bytes not yet written, over all chunks.
    remaining: usize,
    /// An empty vector whose memory the next small batch uses.
    spare: Vec<u8>,
}

/// Bytes to write.
#[derive(Debug)]
enum Chunk {
    /// Of small batches, with room for more unless it is long.
    Gathered(Vec<u8>),
    /// A large batch as it is, or a piece of one.
    Whole(Bytes),
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Gathered(bytes) => bytes,
            Self::Whole(bytes) => bytes,
        }
    }
}

/// A batch's bytes for who wants to keep them: a large one is in memory once.
#[derive(Debug)]
pub(super) enum Kept {
    /// The batch, which was copied.
    Copied(Vec<u8>),
    /// The chunk that the batch became.
    Shared(Bytes),
    /// The pieces of a batch with values that are sent from where they lie.
    Pieces(Vec<Bytes>),
}

impl From<Kept> for Bytes {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Copied(bytes) => bytes.into(),
            Kept::Shared(bytes) => bytes,
            Kept::Pieces(pieces) => pieces.concat().into(),
        }
    }
}

impl Outgoing {
    /// Appends a batch's bytes, and returns them for who wants to keep them.
    pub(super) fn push(&mut self, bytes: Vec<u8>) -> Kept {
        if bytes.is_empty() {
            return Kept::Copied(bytes);
        }
        self.remaining += bytes.len();
        if bytes.len() >= CHUNK_BYTES {
            let bytes = Bytes::from(bytes);
            self.chunks.push_back(Chunk::Whole(bytes.clone()));
            return Kept::Shared(bytes);
        }
        match self.chunks.back_mut() {
            Some(Chunk::Gathered(last)) if last.len() < CHUNK_BYTES => last.extend_from_slice(&bytes),
            _ => {
                let mut chunk = std::mem::take(&mut self.spare);
                chunk.extend_from_slice(&bytes);
                self.chunks.push_back(Chunk::Gathered(chunk));
            }
        }
        Kept::Copied(bytes)
    }

    /// Appends the pieces of a batch with large values, and returns them for who wants to keep them.
    #[cold]
    pub(super) fn push_pieces(&mut self, pieces: Vec<Bytes>) -> Kept {
        let written = pieces.iter().filter(|piece| !piece.is_empty()).cloned();
        self.chunks.extend(written.map(Chunk::Whole));
        self.remaining += pieces.iter().map(Bytes::len).sum::<usize>();
        Kept::Pieces(pieces)
    }

    /// Puts `bytes` before everything else. Nothing may be written of what is there.
    pub(super) fn push_front(&mut self, bytes: Vec<u8>) {
        assert_eq!(self.written, 0, "what goes first must be known before the write");
        self.remaining += bytes.len();
        self.chunks.push_front(Chunk::Gathered(bytes));
    }

    /// Exchanges everything that waits in `self` for `written_out`, which must be empty, and its spare memory.
    pub(super) fn swap(&mut self, written_out: &mut Self) {
        assert_eq!(written_out.remaining, 0, "bytes that were not written would be lost");
        std::mem::swap(self, written_out);
    }

    /// Keeps the memory of a chunk that is written, unless it is large.
    fn recycle(&mut self, chunk: Chunk) {
        let Chunk::Gathered(mut chunk) = chunk else { return };
        if chunk.capacity() <= 2 * CHUNK_BYTES && chunk.capacity() > self.spare.capacity() {
            chunk.clear();
            self.spare = chunk;
        }
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| &chunk[self.written..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut skip = self.written;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(&chunk[skip..]);
            skip = 0;
            used += 1;
        }
        used
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining, "no more can be written than there is");
        self.remaining -= count;
        self.written += count;
        while self.chunks.front().is_some_and(|chunk| chunk.len() <= self.written) {
            if let Some(chunk) = self.chunks.pop_front() {
                self.written -= chunk.len();
                self.recycle(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(lens: &[usize]) -> (Outgoing, Vec<u8>) {
        let mut outgoing = Outgoing::default();
        let mut all = Vec::new();
        for (index, &len) in lens.iter().enumerate() {
            let bytes = vec![u8::try_from(index).unwrap(); len];
            all.extend_from_slice(&bytes);
            outgoing.push(bytes);
        }
        (outgoing, all)
    }

    #[test]
    fn bytes_come_out_in_order_however_they_are_taken() {
        let lens = [3, 0, 100_000, 70_000, 5, CHUNK_BYTES - 1, 1, 1, 200_000];
        for step in [1, 7, 4096, 65_537, 1 << 20] {
            let (mut outgoing, all) = filled(&lens);
            outgoing.push_front(b"mark".to_vec());
            let mut taken = Vec::new();
            while outgoing.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 4];
                let used = outgoing.chunks_vectored(&mut slices);
                let seen: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
                taken.extend_from_slice(&seen);
                outgoing.advance(seen.len());
            }
            assert_eq!(taken, [b"mark".as_slice(), &all].concat(), "step {step}");
        }
    }

    #[test]
    fn small_batches_share_a_chunk_and_large_ones_are_not_copied() {
        let (mut outgoing, _) = filled(&[10, 20, 30]);
        assert_eq!(outgoing.chunks.len(), 1);
        let large = vec![1; CHUNK_BYTES];
        let address = large.as_ptr();
        let kept = Bytes::from(outgoing.push(large));
        assert_eq!(outgoing.chunks.back().map(|chunk| chunk.as_ptr()), Some(address));
        assert_eq!(kept.as_ptr(), address, "not for who keeps them either");
    }

    #[test]
    fn pieces_of_a_batch_go_out_in_order_and_come_back_as_one() {
        let (mut outgoing, before) = filled(&[10]);
        let value = Bytes::from(vec![b'v'; CHUNK_BYTES]);
        let pieces = vec![Bytes::from_static(b"head"), value.clone(), Bytes::new(), Bytes::from_static(b"tail")];
        let batch = pieces.concat();
        let kept = outgoing.push_pieces(pieces);
        assert!(outgoing.chunks.iter().any(|chunk| chunk.as_ptr() == value.as_ptr()), "the value is not copied");
        assert_eq!(outgoing.remaining(), before.len() + batch.len());
        assert_eq!(outgoing.copy_to_bytes(outgoing.remaining()), [before, batch.clone()].concat());
        assert_eq!(Bytes::from(kept), batch);
    }

    #[test]
    fn memory_of_a_written_chunk_is_used_again() {
        let (mut outgoing, _) = filled(&[1000]);
        outgoing.advance(1000);
        let spare = outgoing.spare.as_ptr();
        let mut waiting = Outgoing::default();
        waiting.swap(&mut outgoing);
        waiting.push(vec![7; 10]);
        assert_eq!(waiting.chunks.front().map(|chunk| chunk.as_ptr()), Some(spare));
    }
}
