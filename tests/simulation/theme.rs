//! What kind of trouble a seed is about.
//!
//! Every rule needs a rare coincidence to be missed: a node that forgets while the only other holder is out of reach,
//! a message that is late by just so much, a clock that is behind of all that was written. Chance spread over everything
//! meets none of them often. So each seed draws a theme, which keeps to few kinds of faults, few keys and a rhythm in
//! which they coincide.

use std::cell::Cell;

use ringkv::config::ClusterConfig;

use crate::support::chance::Chance;
use crate::troubles::{Event, Troubles};

/// N, W and R.
pub(crate) type Quorum = (u16, u16, u16);

/// Clocks are off by less than this, in milliseconds.
pub(crate) const SKEW_MS_MAX: u64 = 180_000;
/// Just enough for two clocks that are off as far as can be, in opposite directions.
const DRIFT_MS_MAX: u64 = 2 * SKEW_MS_MAX + 1_000;

/// What may be drawn. Lists are drawn from evenly; what stands twice is drawn twice as often.
pub(crate) struct Theme {
    pub(crate) name: &'static str,
    /// How many shares of the seeds it gets.
    shares: usize,
    /// Nodes, and quorums.
    settings: &'static [(u16, Quorum)],
    /// Clocks are off by less than this.
    skews_ms: &'static [u64],
    keys: std::ops::Range<u64>,
    clients: std::ops::Range<u64>,
    /// By each client.
    calls: std::ops::Range<u64>,
    /// A client waits less than this before a call, unless a fault wakes it.
    pub(crate) hurries_ms: &'static [u64],
    pub(crate) mix: Mix,
    /// Less than this passes between faults.
    pub(crate) calms_ms: &'static [u64],
    /// How many faults of a hundred wake the clients, before or after.
    pub(crate) pulses: u64,
    /// Messages take less than this on their way.
    pub(crate) delays_ms: &'static [u64],
    /// Those that others may overtake take less than this in addition.
    pub(crate) hold_ups_ms: &'static [u64],
    /// Kinds of faults, and how many of a hundred seeds have each.
    kinds: &'static [(u64, &'static [Event])],
    /// Hints live, and clocks differ, so little that tombstones may go while the seed lasts.
    pub(crate) forgets_soon: bool,
    /// Whether one node stands out.
    odd_one: OddOne,
}

/// What is special about the node that stands out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OddOne {
    /// There is none.
    None,
    /// Nothing but that.
    Busy,
    /// Its clock is so far behind that it takes no write of the others, and says so late.
    Refusing,
    /// Its clock is far behind those of all others.
    Slow,
    /// Its clock is far ahead of those of all others.
    Fast,
}

/// What clients ask for, in percent.
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) reads: u64,
    pub(crate) flushes: u64,
    pub(crate) pipelines: u64,
    /// Values that are deleted at once, by way of another node.
    pub(crate) brief: u64,
    /// Of the writes.
    pub(crate) deletes: u64,
    /// Of the writes: clients that do not wait for the answer.
    pub(crate) hang_ups: u64,
    /// Of the writes: updates, which return what was there before.
    pub(crate) swaps: u64,
}

const MIX: Mix = Mix { reads: 40, flushes: 5, pipelines: 15, brief: 0, deletes: 25, hang_ups: 10, swaps: 0 };

const FAULTS: &[Event] = &[Troubles::choose_faults, Troubles::choose_faults];
const LOSS: &[Event] = &[Troubles::lose_some];
const LATE: &[Event] = &[Troubles::hold_some_up];
const DELAYS: &[Event] = &[Troubles::choose_delays, Troubles::slow_down_one];
const CUTS: &[Event] = &[Troubles::cut, Troubles::isolate, Troubles::heal, Troubles::heal];
const ONE_WAY_CUTS: &[Event] = &[Troubles::cut_one_way, Troubles::scramble, Troubles::scramble, Troubles::heal];
const CRASHES: &[Event] = &[Troubles::crash, Troubles::crash, Troubles::start, Troubles::start];
const BOUNCES: &[Event] = &[Troubles::bounce, Troubles::bounce];
const FREEZES: &[Event] = &[Troubles::freeze, Troubles::thaw];
const HEALS: &[Event] = &[Troubles::heal];
const ROLLS: &[Event] = &[Troubles::roll, Troubles::roll, Troubles::roll];
const ABSENCES: &[Event] = &[Troubles::isolate, Troubles::heal];
const DEBTS: &[Event] = &[Troubles::be_owed, Troubles::be_owed];
const TURNS: &[Event] = &[Troubles::turn_odd_one];
const STRANDS: &[Event] = &[Troubles::strand];

/// What a seed draws its theme from.
pub(crate) static THEMES: [Theme; 17] = [
    Theme {
        name: "a bit of everything",
        shares: 1,
        settings: &[
            (3, (3, 2, 2)),
            (3, (3, 2, 2)),
            (5, (5, 3, 3)),
            (5, (3, 2, 2)),
            (7, (3, 2, 2)),
            (4, (4, 3, 2)),
            (3, (3, 3, 1)),
            (5, (3, 3, 1)),
            (6, (5, 3, 3)),
        ],
        skews_ms: &[1, 1_000, SKEW_MS_MAX],
        keys: 1..5,
        clients: 2..6,
        calls: 10..40,
        hurries_ms: &[2, 40, 150],
        mix: MIX,
        calms_ms: &[50, 300, 1_000],
        pulses: 20,
        delays_ms: &[1, 10, 80],
        hold_ups_ms: &[150],
        kinds: &[(60, FAULTS), (60, DELAYS), (60, CUTS), (60, CRASHES), (60, FREEZES)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "restarts in quick succession",
        shares: 1,
        settings: &[
            (3, (3, 2, 2)),
            (3, (3, 2, 2)),
            (3, (3, 3, 1)),
            (3, (3, 3, 2)),
            (4, (3, 2, 2)),
            (4, (4, 3, 2)),
            (5, (5, 3, 3)),
            (5, (5, 4, 2)),
        ],
        skews_ms: &[1, 1_000, SKEW_MS_MAX],
        keys: 1..3,
        clients: 2..5,
        calls: 15..40,
        hurries_ms: &[40, 400, 1_500],
        mix: Mix { flushes: 2, ..MIX },
        calms_ms: &[100, 300, 1_500],
        pulses: 80,
        delays_ms: &[1, 1, 10],
        hold_ups_ms: &[30],
        kinds: &[(100, BOUNCES), (80, ROLLS), (50, CRASHES), (40, CUTS), (20, FAULTS), (30, DELAYS)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "one is away, then another",
        shares: 3,
        settings: &[(3, (3, 2, 2)), (3, (3, 2, 2)), (3, (3, 2, 2)), (4, (4, 3, 2)), (5, (3, 2, 2))],
        skews_ms: &[1_000, SKEW_MS_MAX],
        keys: 1..3,
        clients: 2..5,
        calls: 20..40,
        hurries_ms: &[300, 1_000, 3_000],
        mix: Mix { flushes: 20, pipelines: 5, ..MIX },
        calms_ms: &[2_000, 4_000],
        pulses: 90,
        delays_ms: &[1],
        hold_ups_ms: &[30],
        kinds: &[(100, ROLLS), (50, HEALS)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "writes taken back, and late messages",
        shares: 3,
        settings: &[(3, (3, 3, 1)), (4, (3, 3, 1)), (5, (3, 3, 1)), (3, (3, 3, 2)), (3, (3, 2, 2)), (4, (4, 4, 1))],
        skews_ms: &[1, 1_000],
        keys: 2..7,
        clients: 3..6,
        calls: 30..70,
        hurries_ms: &[20, 60, 150],
        mix: Mix { reads: 35, flushes: 1, pipelines: 5, brief: 0, deletes: 10, hang_ups: 2, swaps: 0 },
        calms_ms: &[200, 800, 1_500],
        pulses: 60,
        delays_ms: &[1, 10],
        hold_ups_ms: &[150, 350],
        kinds: &[(50, LATE), (50, LOSS), (90, BOUNCES), (20, FAULTS), (20, DELAYS), (20, CUTS), (20, FREEZES)],
        forgets_soon: false,
        odd_one: OddOne::Busy,
    },
    Theme {
        name: "nodes that forget what they have shown",
        shares: 3,
        settings: &[(3, (3, 3, 1)), (4, (3, 3, 1)), (5, (3, 3, 1))],
        skews_ms: &[1],
        keys: 1..3,
        clients: 3..6,
        calls: 20..50,
        hurries_ms: &[500, 1_500],
        mix: Mix { reads: 45, flushes: 0, pipelines: 0, brief: 0, deletes: 5, hang_ups: 0, swaps: 0 },
        calms_ms: &[800, 2_000],
        pulses: 90,
        delays_ms: &[1],
        hold_ups_ms: &[30],
        kinds: &[(100, BOUNCES)],
        forgets_soon: false,
        odd_one: OddOne::Refusing,
    },
    Theme {
        name: "clocks minutes apart",
        shares: 1,
        settings: &[(3, (3, 2, 2)), (5, (3, 2, 2)), (7, (3, 2, 2)), (5, (5, 3, 3)), (5, (3, 3, 1)), (4, (3, 2, 2))],
        skews_ms: &[SKEW_MS_MAX],
        keys: 1..3,
        clients: 3..6,
        calls: 15..40,
        hurries_ms: &[10, 100, 400],
        mix: Mix { flushes: 10, ..MIX },
        calms_ms: &[100, 300],
        pulses: 50,
        delays_ms: &[1, 10, 80, 150],
        hold_ups_ms: &[100],
        kinds: &[(80, DELAYS), (50, ONE_WAY_CUTS), (40, CUTS), (40, ROLLS), (30, FAULTS), (20, BOUNCES)],
        forgets_soon: false,
        odd_one: OddOne::Fast,
    },
    Theme {
        name: "writes that race",
        shares: 2,
        settings: &[(5, (3, 2, 2)), (7, (3, 2, 2)), (3, (3, 2, 2)), (7, (5, 3, 3)), (5, (3, 3, 1))],
        skews_ms: &[1_000, SKEW_MS_MAX],
        keys: 1..2,
        clients: 4..9,
        calls: 15..40,
        hurries_ms: &[5, 30, 80],
        mix: Mix { reads: 55, flushes: 2, pipelines: 2, brief: 0, deletes: 5, hang_ups: 5, swaps: 0 },
        calms_ms: &[100, 300],
        pulses: 30,
        delays_ms: &[20, 50, 95],
        hold_ups_ms: &[50],
        kinds: &[(100, DELAYS), (15, ONE_WAY_CUTS), (15, FAULTS)],
        forgets_soon: false,
        odd_one: OddOne::Fast,
    },
    Theme {
        name: "links that work one way, slow nodes, nodes that hang",
        shares: 1,
        settings: &[(3, (3, 2, 2)), (5, (3, 2, 2)), (5, (5, 3, 3)), (3, (3, 3, 1)), (4, (4, 3, 2)), (7, (5, 3, 3))],
        skews_ms: &[1, 1_000, SKEW_MS_MAX],
        keys: 1..4,
        clients: 2..6,
        calls: 15..40,
        hurries_ms: &[10, 100],
        mix: MIX,
        calms_ms: &[100, 400],
        pulses: 40,
        delays_ms: &[1, 10, 80],
        hold_ups_ms: &[150],
        kinds: &[(100, ONE_WAY_CUTS), (60, DELAYS), (60, FREEZES), (30, FAULTS)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "a coordinator that forgets what it has stamped",
        shares: 2,
        settings: &[(5, (3, 2, 2)), (7, (3, 2, 2)), (7, (3, 2, 2))],
        skews_ms: &[SKEW_MS_MAX],
        keys: 1..2,
        clients: 1..4,
        calls: 30..70,
        hurries_ms: &[2_000],
        mix: Mix { reads: 65, flushes: 0, pipelines: 0, brief: 0, deletes: 10, hang_ups: 0, swaps: 0 },
        calms_ms: &[60, 200],
        pulses: 85,
        delays_ms: &[1, 10, 40],
        hold_ups_ms: &[30],
        kinds: &[(100, TURNS), (15, DELAYS)],
        forgets_soon: false,
        odd_one: OddOne::Slow,
    },
    Theme {
        name: "deletes while somebody is away",
        shares: 1,
        settings: &[(3, (3, 2, 2)), (3, (3, 2, 1)), (5, (3, 2, 2))],
        skews_ms: &[1, 100],
        keys: 4..10,
        clients: 2..4,
        calls: 10..20,
        hurries_ms: &[2_500, 4_000],
        mix: Mix { reads: 15, flushes: 1, pipelines: 5, brief: 45, deletes: 30, hang_ups: 2, swaps: 0 },
        calms_ms: &[12_000],
        pulses: 30,
        delays_ms: &[1],
        hold_ups_ms: &[30],
        kinds: &[(100, ABSENCES)],
        forgets_soon: true,
        odd_one: OddOne::None,
    },
    Theme {
        name: "hints of what was deleted",
        shares: 1,
        settings: &[(5, (3, 2, 2)), (5, (3, 2, 2)), (5, (3, 2, 1))],
        skews_ms: &[1, 100],
        keys: 10..20,
        clients: 2..4,
        calls: 15..30,
        hurries_ms: &[3_000, 6_000],
        mix: Mix { reads: 10, flushes: 0, pipelines: 0, brief: 75, deletes: 30, hang_ups: 0, swaps: 0 },
        calms_ms: &[14_000],
        pulses: 30,
        delays_ms: &[1],
        hold_ups_ms: &[30],
        kinds: &[(100, DEBTS)],
        forgets_soon: true,
        odd_one: OddOne::Busy,
    },
    Theme {
        name: "quorums that do not meet",
        shares: 1,
        settings: &[(3, (3, 2, 1)), (3, (3, 2, 1)), (3, (3, 1, 1)), (5, (3, 2, 1)), (5, (3, 1, 2)), (5, (5, 3, 1))],
        skews_ms: &[1, 1_000, SKEW_MS_MAX],
        keys: 1..5,
        clients: 2..6,
        calls: 10..40,
        hurries_ms: &[10, 150],
        mix: MIX,
        calms_ms: &[100, 400],
        pulses: 40,
        delays_ms: &[1, 10, 80],
        hold_ups_ms: &[150],
        kinds: &[(50, FAULTS), (50, DELAYS), (60, CUTS), (50, BOUNCES), (40, ONE_WAY_CUTS), (40, FREEZES)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "updates and everything else",
        shares: 2,
        settings: &[
            (3, (3, 2, 2)),
            (5, (3, 2, 2)),
            (5, (5, 3, 3)),
            (3, (3, 2, 1)),
            (3, (3, 3, 1)),
            (4, (4, 3, 2)),
            (5, (5, 4, 2)),
        ],
        skews_ms: &[1, 1_000, SKEW_MS_MAX],
        keys: 1..4,
        clients: 2..6,
        calls: 10..40,
        hurries_ms: &[2, 40, 150],
        mix: Mix { reads: 30, swaps: 60, ..MIX },
        calms_ms: &[50, 300, 1_000],
        pulses: 20,
        delays_ms: &[1, 10, 80],
        hold_ups_ms: &[150],
        kinds: &[(60, FAULTS), (60, DELAYS), (60, CUTS), (60, CRASHES), (60, FREEZES)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "updates and writes that race, by nodes that do not all see one another",
        shares: 3,
        settings: &[(3, (3, 2, 2)), (5, (3, 2, 2)), (5, (5, 3, 3)), (3, (3, 2, 1)), (4, (4, 3, 2))],
        skews_ms: &[1, 1_000, SKEW_MS_MAX],
        keys: 1..2,
        clients: 3..8,
        calls: 15..40,
        hurries_ms: &[2, 20, 80],
        mix: Mix { reads: 35, flushes: 1, pipelines: 2, brief: 0, deletes: 10, hang_ups: 5, swaps: 60 },
        calms_ms: &[50, 200],
        pulses: 40,
        delays_ms: &[1, 20, 60],
        hold_ups_ms: &[50],
        kinds: &[(70, DELAYS), (60, ONE_WAY_CUTS), (50, CUTS), (30, FAULTS), (20, LATE)],
        forgets_soon: false,
        odd_one: OddOne::Fast,
    },
    Theme {
        name: "updates whose homes hang and die",
        shares: 2,
        settings: &[(3, (3, 2, 2)), (5, (3, 2, 2)), (5, (5, 3, 3)), (3, (3, 3, 1))],
        skews_ms: &[1, 1_000],
        keys: 1..3,
        clients: 2..6,
        calls: 15..40,
        hurries_ms: &[10, 100, 300],
        mix: Mix { reads: 30, flushes: 2, pipelines: 5, brief: 0, deletes: 10, hang_ups: 5, swaps: 70 },
        calms_ms: &[50, 200, 800],
        pulses: 60,
        delays_ms: &[1, 10],
        hold_ups_ms: &[50],
        kinds: &[(90, FREEZES), (60, CRASHES), (60, ROLLS), (40, CUTS), (30, DELAYS)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "updates and flushes that race",
        shares: 1,
        settings: &[(3, (3, 2, 2)), (5, (3, 2, 2)), (5, (5, 3, 3)), (3, (3, 3, 1)), (4, (4, 3, 2))],
        skews_ms: &[1, 1_000, 5_000],
        keys: 1..3,
        clients: 3..8,
        calls: 15..40,
        hurries_ms: &[2, 20, 80],
        mix: Mix { reads: 30, flushes: 12, pipelines: 2, brief: 0, deletes: 5, hang_ups: 5, swaps: 80 },
        calms_ms: &[50, 200, 800],
        pulses: 40,
        delays_ms: &[1, 10, 60],
        hold_ups_ms: &[50],
        kinds: &[(70, DELAYS), (40, CUTS), (40, FREEZES), (30, CRASHES), (20, ROLLS), (20, FAULTS)],
        forgets_soon: false,
        odd_one: OddOne::None,
    },
    Theme {
        name: "updates that are left where nobody can ask",
        shares: 2,
        settings: &[(4, (3, 2, 2)), (5, (3, 2, 2)), (7, (3, 2, 2)), (7, (3, 2, 2))],
        skews_ms: &[5_000, SKEW_MS_MAX],
        keys: 1..2,
        clients: 3..6,
        calls: 20..40,
        hurries_ms: &[60, 200],
        mix: Mix { reads: 20, flushes: 1, pipelines: 0, brief: 0, deletes: 5, hang_ups: 0, swaps: 60 },
        calms_ms: &[200, 600],
        pulses: 50,
        delays_ms: &[1, 10],
        hold_ups_ms: &[50],
        kinds: &[(100, STRANDS), (20, DELAYS), (20, BOUNCES)],
        forgets_soon: false,
        odd_one: OddOne::Slow,
    },
];

thread_local! {
    /// Seeds that run on this thread draw from the themes whose names contain one of these; from all if there are none.
    static WANTED: Cell<&'static [&'static str]> = const { Cell::new(&[]) };
}

/// Has the seeds that run on this thread draw from the themes whose names contain one of these words.
///
/// # Panics
/// If one of them is in no name.
pub(crate) fn draw_from(words: &'static [&'static str]) {
    for word in words {
        assert!(THEMES.iter().any(|theme| theme.name.contains(word)), "no theme's name contains '{word}'");
    }
    WANTED.set(words);
}

fn themes() -> impl Iterator<Item = &'static Theme> {
    let wanted = WANTED.get();
    let is_wanted = move |theme: &&Theme| wanted.is_empty() || wanted.iter().any(|word| theme.name.contains(word));
    THEMES.iter().filter(is_wanted)
}

/// What one seed has drawn.
pub(crate) struct Plan {
    pub(crate) theme: &'static Theme,
    pub(crate) nodes: u16,
    pub(crate) quorum: Quorum,
    pub(crate) skew_ms_max: u64,
    pub(crate) skews_ms: Vec<i64>,
    pub(crate) keys: u64,
    pub(crate) clients: u64,
    pub(crate) calls: u64,
    pub(crate) calm_ms: u64,
    /// Drawn from evenly.
    pub(crate) events: Vec<Event>,
    /// The node that stands out.
    pub(crate) odd_one: Option<usize>,
    /// How many of a hundred calls go to it in any case.
    pub(crate) odd_calls: u64,
}

impl Plan {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        let shares = || themes().flat_map(|theme| std::iter::repeat_n(theme, theme.shares));
        let theme = shares().nth(chance.index(shares().count())).expect("an index below the count");
        let (nodes, quorum) = chance.pick(theme.settings);
        let skew_ms_max = chance.pick(theme.skews_ms);
        let mut skews_ms: Vec<i64> = (0..nodes).map(|_| skew_ms(chance, skew_ms_max)).collect();
        let drawn = chance.index(skews_ms.len());
        let (odd_one, far) = (theme.odd_one != OddOne::None, signed(skew_ms_max - 1));
        match theme.odd_one {
            OddOne::None | OddOne::Busy => {}
            OddOne::Refusing => skews_ms[drawn] = -signed(DRIFT_MS_MAX + 10_000),
            OddOne::Slow => skews_ms[drawn] = -far,
            OddOne::Fast => skews_ms[drawn] = far,
        }
        let mut events = Vec::new();
        for (percent, kind) in theme.kinds {
            if chance.happens(*percent) {
                events.extend_from_slice(kind);
            }
        }
        Self {
            theme,
            nodes,
            quorum,
            skew_ms_max,
            skews_ms,
            keys: chance.within(theme.keys.clone()),
            clients: chance.within(theme.clients.clone()),
            calls: chance.within(theme.calls.clone()),
            calm_ms: chance.pick(theme.calms_ms),
            events,
            odd_one: odd_one.then_some(drawn),
            odd_calls: match theme.odd_one {
                OddOne::None | OddOne::Refusing => 0,
                OddOne::Busy | OddOne::Fast => 40,
                OddOne::Slow => 65,
            },
        }
    }

    /// Applies to the configuration what the theme is about.
    pub(crate) fn adapt(&self, config: &mut ClusterConfig) {
        config.max_clock_drift_ms = DRIFT_MS_MAX;
        if self.theme.forgets_soon {
            config.max_clock_drift_ms = 400;
            config.hint_ttl_ms = 300;
            config.request_timeout_ms = 100;
        }
    }

    /// The node that takes no write of the others, if there is one. It must not forget, for it could not catch up.
    pub(crate) fn refusing(&self) -> Option<usize> {
        self.odd_one.filter(|_| self.theme.odd_one == OddOne::Refusing)
    }

    /// In words.
    pub(crate) fn describe(&self) -> String {
        let Self { theme, nodes, quorum, skews_ms, .. } = self;
        format!("{}: {nodes} nodes, N/W/R {quorum:?}, clocks off by {skews_ms:?} ms", theme.name)
    }
}

/// How far a clock may be off.
pub(crate) fn skew_ms(chance: &mut Chance, max: u64) -> i64 {
    let off = signed(chance.within(0..max));
    if chance.happens(50) { off } else { -off }
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).expect("minutes")
}
