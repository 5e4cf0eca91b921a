//! What one seed has drawn: a theme, and of all that the theme allows one thing each.

use ringkv::config::ClusterConfig;

use crate::support::chance::Chance;
use crate::theme::{OddOne, Quorum, SKEW_MS_MAX, Theme, themes};
use crate::troubles::Event;

/// Just enough for two clocks that are off as far as can be, in opposite directions.
const DRIFT_MS_MAX: u64 = 2 * SKEW_MS_MAX + 1_000;

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
