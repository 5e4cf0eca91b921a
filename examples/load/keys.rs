//! Which keys are asked for, and how often each.

use std::ops::RangeInclusive;
use std::str::FromStr;

use ringkv::ring::{SLOT_COUNT, Slot};

/// Length of each key's name.
pub(crate) const NAME_BYTES: usize = PREFIX.len() + DIGITS;
const PREFIX: &[u8] = b"key:";
const DIGITS: usize = 12;
/// Numbers of keys that are looked at before a choice of slots is taken for empty.
const LOOKS_MAX: u32 = 500_000_000;
/// Spreads the most frequent keys over all numbers; a prime above every number of keys.
const SPREAD: u64 = 4_294_967_311;

/// The keys of a load.
pub(crate) struct Keys {
    count: u32,
    /// The numbers of the keys, where not all below `count` are meant.
    chosen: Option<Vec<u32>>,
    zipf: Option<Zipf>,
}

/// Slots from the first to the last of them.
#[derive(Clone, Debug)]
pub(crate) struct SlotRange(RangeInclusive<u16>);

impl FromStr for SlotRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.parse().ok().filter(|number| Slot::new(*number).is_some());
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(format!("{text:?} is no range of slots")),
        }
    }
}

impl Keys {
    pub(crate) fn new(count: u32, slots: &[SlotRange], skew: Option<f64>) -> Result<Self, String> {
        let chosen = if slots.is_empty() { None } else { Some(keys_of(slots, count)?) };
        Ok(Self { count, chosen, zipf: skew.map(|skew| Zipf::new(count, skew)) })
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.into()
    }

    /// The number in the name of the key at this position, which is below the number of keys.
    pub(crate) fn at(&self, position: u64) -> u64 {
        match &self.chosen {
            None => position,
            Some(chosen) => chosen[usize::try_from(position).unwrap_or_default()].into(),
        }
    }

    /// One of them.
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        match &self.zipf {
            None => self.at(random.below(self.count)),
            Some(zipf) => self.at(zipf.rank(random) * SPREAD % self.count()),
        }
    }
}

fn keys_of(slots: &[SlotRange], count: u32) -> Result<Vec<u32>, String> {
    let mut wanted = vec![false; usize::from(SLOT_COUNT)];
    for SlotRange(range) in slots {
        range.clone().for_each(|slot| wanted[usize::from(slot)] = true);
    }
    let is_wanted = |number: &u32| {
        let mut name = [0; NAME_BYTES];
        write_name(&mut name, (*number).into());
        wanted[Slot::of_key(&name).as_usize()]
    };
    let found: Vec<u32> = (0..LOOKS_MAX).filter(is_wanted).take(count as usize).collect();
    if found.len() < count as usize { Err("too few keys have such slots".to_owned()) } else { Ok(found) }
}

/// Writes the name of a key.
pub(crate) fn write_name(name: &mut [u8], mut number: u64) {
    let (prefix, digits) = name.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    for digit in digits[..DIGITS].iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

/// Ranks that are drawn in proportion to 1 / rank^skew, by the method of Gray et al. (Quickly Generating Billion-Record
/// Synthetic Databases).
struct Zipf {
    count: f64,
    sum: f64,
    alpha: f64,
    eta: f64,
    /// Below this, the draw is the second rank.
    second: f64,
}

impl Zipf {
    fn new(count: u32, skew: f64) -> Self {
        let sum: f64 = (1..=count).map(|rank| f64::from(rank).powf(-skew)).sum();
        let second = 1.0 + 0.5_f64.powf(skew);
        let count = f64::from(count);
        let eta = (1.0 - (2.0 / count).powf(1.0 - skew)) / (1.0 - second / sum);
        Self { count, sum, alpha: 1.0 / (1.0 - skew), eta, second }
    }

    /// From 0, the most frequent.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below the number of keys, and not below 0"
    )]
    fn rank(&self, random: &mut Random) -> u64 {
        let draw = random.part();
        if draw * self.sum < 1.0 {
            return 0;
        }
        if draw * self.sum < self.second {
            return 1;
        }
        let rank = self.count * (self.eta * draw - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count as u64 - 1)
    }
}

/// Random enough to choose keys, and cheap: the generator `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u32) -> u64 {
        ((self.next() >> 32) * u64::from(limit)) >> 32
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() >> 63 == 0
    }

    /// From 0 to below 1.
    fn part(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
    }
}
