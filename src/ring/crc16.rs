//! CRC16/XMODEM, the checksum that places keys in every Redis Cluster client.
//!
//! It is computed for each key of each command. Byte by byte, every step waits for the table look-up of the one before
//! (26 ns for 16 bytes); eight tables let eight bytes be looked up at once (5 ns), for 4 KiB of tables that the compiler
//! computes.

/// The generator polynomial x^16 + x^12 + x^5 + 1, highest bit first.
const POLYNOMIAL: u16 = 0x1021;

/// `TABLES[k][byte]`: what `byte` contributes to the checksum when `k` more bytes follow it in its block of eight.
static TABLES: [[u16; 256]; 8] = tables();

/// The CRC16/XMODEM checksum of `bytes`: initial value 0, nothing reflected.
///
/// ```
/// assert_eq!(ringkv::ring::crc16(b"123456789"), 0x31c3);
/// ```
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    let (blocks, rest) = bytes.as_chunks();
    let mut crc = Crc16::default();
    for block in blocks {
        crc.add_block(*block);
    }
    for &byte in rest {
        crc.add_byte(byte);
    }
    crc.sum()
}

/// A checksum in the making.
#[derive(Clone, Copy, Default)]
pub(super) struct Crc16(u16);

impl Crc16 {
    /// Takes in eight bytes. Written out, since a loop over the tables would not be unrolled.
    #[inline]
    pub(super) fn add_block(&mut self, block: [u8; 8]) {
        let [high, low] = self.0.to_be_bytes();
        let look_up = |following: usize, byte: u8| TABLES[following][usize::from(byte)];
        let head =
            look_up(7, block[0] ^ high) ^ look_up(6, block[1] ^ low) ^ look_up(5, block[2]) ^ look_up(4, block[3]);
        let tail = look_up(3, block[4]) ^ look_up(2, block[5]) ^ look_up(1, block[6]) ^ look_up(0, block[7]);
        self.0 = head ^ tail;
    }

    /// Takes in one byte.
    #[inline]
    pub(super) fn add_byte(&mut self, byte: u8) {
        let [high, low] = self.0.to_be_bytes();
        self.0 = u16::from_be_bytes([low, 0]) ^ TABLES[0][usize::from(high ^ byte)];
    }

    /// The checksum of all that was taken in.
    #[inline]
    pub(super) fn sum(self) -> u16 {
        self.0
    }
}

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = remainder(byte);
        let mut following = 0;
        while following < 8 {
            tables[following][byte as usize] = crc;
            crc = (crc << 8) ^ remainder(crc >> 8);
            following += 1;
        }
        byte += 1;
    }
    tables
}

/// The checksum of the single byte `byte`, bit by bit.
const fn remainder(byte: u16) -> u16 {
    let mut crc = byte << 8;
    let mut bit = 0;
    while bit < 8 {
        crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL };
        bit += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agrees_with_the_published_check_values() {
        assert_eq!(crc16(b""), 0);
        assert_eq!(crc16(b"A"), 0x58e5);
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    proptest! {
        #[test]
        fn blocks_of_eight_agree_with_single_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let byte_by_byte = bytes.iter().fold(0_u16, |crc, &byte| {
                (crc << 8) ^ remainder((crc >> 8) ^ u16::from(byte))
            });
            prop_assert_eq!(crc16(&bytes), byte_by_byte);
        }
    }
}
