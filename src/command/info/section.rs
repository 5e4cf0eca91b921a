//! The sections of INFO and how they are asked for.

/// A part of INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    Server,
    Clients,
    Memory,
    Persistence,
    Stats,
    Replication,
    Cpu,
    CommandStatistics,
    ErrorStatistics,
    LatencyStatistics,
    Cluster,
    Keyspace,
    Ring,
    Convergence,
}

impl Section {
    /// All of them, in the order in which they are told.
    pub(super) const ALL: [Self; 14] = [
        Self::Server,
        Self::Clients,
        Self::Memory,
        Self::Persistence,
        Self::Stats,
        Self::Replication,
        Self::Cpu,
        Self::CommandStatistics,
        Self::ErrorStatistics,
        Self::LatencyStatistics,
        Self::Cluster,
        Self::Keyspace,
        Self::Ring,
        Self::Convergence,
    ];

    /// The name in the section's first line, by which it is also asked for.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Clients => "Clients",
            Self::Memory => "Memory",
            Self::Persistence => "Persistence",
            Self::Stats => "Stats",
            Self::Replication => "Replication",
            Self::Cpu => "CPU",
            Self::CommandStatistics => "Commandstats",
            Self::ErrorStatistics => "Errorstats",
            Self::LatencyStatistics => "Latencystats",
            Self::Cluster => "Cluster",
            Self::Keyspace => "Keyspace",
            Self::Ring => "Ring",
            Self::Convergence => "Convergence",
        }
    }

    /// Whether it is told only where it is asked for by its name or with `all`: it has a line for each command.
    fn is_on_demand(self) -> bool {
        matches!(self, Self::CommandStatistics | Self::LatencyStatistics)
    }

    /// The sections that `names` ask for, each once and in their own order; unknown names ask for none, no name for
    /// those that are told by default.
    pub(super) fn named<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Self> {
        let has_none = names.len() == 0;
        let mut asked = Self::ALL.map(|section| has_none && !section.is_on_demand());
        for name in names {
            let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
            let (is_all, is_default) = (is("all") || is("everything"), is("default"));
            for (asked, section) in asked.iter_mut().zip(Self::ALL) {
                *asked |= is_all || (is_default && !section.is_on_demand()) || is(section.title());
            }
        }
        Self::ALL.into_iter().zip(asked).filter(|(_, asked)| *asked).map(|(section, _)| section).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(names: &[&str]) -> Vec<&'static str> {
        Section::named(names.iter().map(|name| name.as_bytes())).into_iter().map(Section::title).collect()
    }

    #[test]
    fn sections_are_told_once_and_in_order_however_they_are_asked_for() {
        assert_eq!(titles(&["KEYSPACE", "cpu", "foo", "Keyspace"]), ["CPU", "Keyspace"]);
        assert_eq!(titles(&["foo"]), [""; 0]);
        for all in [&["ALL"][..], &["ring", "everything"]] {
            assert_eq!(titles(all).len(), Section::ALL.len(), "{all:?}");
        }
    }

    #[test]
    fn sections_with_a_line_for_each_command_are_told_on_demand() {
        for default in [&[][..], &["default"], &["ring", "DEFAULT"]] {
            assert_eq!(titles(default).len(), Section::ALL.len() - 2, "{default:?}");
        }
        assert_eq!(titles(&["default", "commandstats"]).len(), Section::ALL.len() - 1);
        assert_eq!(titles(&["LatencyStats"]), ["Latencystats"]);
    }
}
