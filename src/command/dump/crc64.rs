//! CRC-64 with the polynomial of Jones, as Redis has it: bits reflected, nothing added before or after.

/// The polynomial 0xAD93D23594C935A9, its bits in reverse order.
const POLYNOMIAL: u64 = 0x95AC_9329_AC4B_C9B5;

/// What each byte adds.
const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let (mut sum, mut bit) = (byte as u64, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

/// The checksum of `data`.
pub(super) fn of(data: &[u8]) -> u64 {
    data.iter().fold(0, |sum: u64, byte| sum >> 8 ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_check_value_comes_out() {
        assert_eq!(of(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
        assert_eq!(of(b""), 0);
    }
}
