//! How much of its replies a client may leave untaken: `client-output-buffer-limit`, in the notation of Redis.
//!
//! Redis queues replies for a client and closes it when the queue is too long. Here nothing is served for a client that
//! has not taken what it was answered, so a turn's replies are all that waits; the limits are on the part of them that
//! the system would not take at once.

use std::fmt;

/// Bytes, and for how long more than so many of them may wait. 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputLimit {
    /// A client with more bytes waiting is closed at once.
    pub hard_bytes: u64,
    /// A client with so many bytes waiting, or more, is closed after [`Self::soft_seconds`].
    pub soft_bytes: u64,
    /// How long that may last.
    pub soft_seconds: u64,
}

/// A limit for each class of clients that Redis tells apart. Only `normal` clients exist here; the others are kept, so
/// that a setting made for Redis can be read back, and are the limits of nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputLimits([OutputLimit; 3]);

/// The classes, in the order in which they are shown.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];
const MEBIBYTE: u64 = 1 << 20;

impl Default for OutputLimits {
    fn default() -> Self {
        let of =
            |hard, soft| OutputLimit { hard_bytes: hard * MEBIBYTE, soft_bytes: soft * MEBIBYTE, soft_seconds: 60 };
        Self([OutputLimit::default(), of(256, 64), of(32, 8)])
    }
}

impl OutputLimits {
    /// The limit of clients that are no nodes.
    #[must_use]
    pub fn normal(&self) -> OutputLimit {
        self.0[0]
    }

    /// These limits, changed by groups of `class hard soft seconds`.
    ///
    /// # Errors
    /// What is wrong with `text`, in Redis' words.
    pub fn changed_by(mut self, text: &str) -> Result<Self, &'static str> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (groups, []) = words.as_chunks::<4>() else {
            return Err("Wrong number of arguments in buffer limit configuration.");
        };
        for [class, hard, soft, seconds] in groups {
            let class = if class.eq_ignore_ascii_case("replica") { "slave" } else { class };
            let known = CLASSES.iter().position(|name| name.eq_ignore_ascii_case(class));
            let known = known.ok_or("Invalid client class specified in buffer limit configuration.")?;
            let limit = parse_bytes(hard).zip(parse_bytes(soft)).zip(seconds.parse::<u64>().ok());
            let ((hard_bytes, soft_bytes), soft_seconds) =
                limit.ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
            self.0[known] = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
        }
        Ok(self)
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (class, limit)) in CLASSES.iter().zip(self.0).enumerate() {
            let gap = if position > 0 { " " } else { "" };
            write!(f, "{gap}{class} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)?;
        }
        Ok(())
    }
}

/// A number of bytes with a unit as Redis has them: `k` is 1000 and `kb` 1024, and so on; `b` or nothing is one.
///
/// ```
/// use ringkv::config::parse_bytes;
/// assert_eq!((parse_bytes("1k"), parse_bytes("1KB"), parse_bytes("7")), (Some(1000), Some(1024), Some(7)));
/// assert_eq!((parse_bytes("-1"), parse_bytes("kb"), parse_bytes("1x")), (None, None, None));
/// ```
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => MEBIBYTE,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Read off redis-server 7.0.15.

    #[test]
    fn limits_are_changed_by_class_and_shown_in_bytes() {
        let default = OutputLimits::default();
        assert_eq!(default.to_string(), "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
        let changed = default.changed_by("normal 1mb 1k 5 replica 1 2 3").unwrap();
        assert_eq!(changed.to_string(), "normal 1048576 1000 5 slave 1 2 3 pubsub 33554432 8388608 60");
        assert_eq!(changed.normal(), OutputLimit { hard_bytes: MEBIBYTE, soft_bytes: 1000, soft_seconds: 5 });
        assert_eq!(changed.changed_by(""), Ok(changed));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_redis() {
        for (text, words) in [
            ("normal 0 0", "Wrong number of arguments in buffer limit configuration."),
            ("foo 0 0 0", "Invalid client class specified in buffer limit configuration."),
            ("normal 1mb 1k abc", "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
            ("normal -1 1k 5", "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
            ("normal x 1k 5", "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
        ] {
            assert_eq!(OutputLimits::default().changed_by(text), Err(words), "{text}");
        }
    }
}
