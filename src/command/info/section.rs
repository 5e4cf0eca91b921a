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
    Cluster,
    Keyspace,
    Ring,
    Convergence,
}

impl Section {
    /// All of them, in the order in which they are told.
    pub(super) const ALL: [Self; 11] = [
        Self::Server,
        Self::Clients,
        Self::Memory,
        Self::Persistence,
        Self::Stats,
        Self::Replication,
        Self::Cpu,
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
            Self::Cluster => "Cluster",
            Self::Keyspace => "Keyspace",
            Self::Ring => "Ring",
            Self::Convergence => "Convergence",
        }
    }

    /// The sections that `names` ask for, each once and in their own order; unknown names ask for none, no name for all.
    pub(super) fn named<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Self> {
        let mut asked = [names.len() == 0; Self::ALL.len()];
        for name in names {
            let is_all = ["all", "default", "everything"].iter().any(|all| name.eq_ignore_ascii_case(all.as_bytes()));
            for (asked, section) in asked.iter_mut().zip(Self::ALL) {
                *asked |= is_all || name.eq_ignore_ascii_case(section.title().as_bytes());
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
        for all in [&[][..], &["ALL"], &["default"], &["ring", "everything"]] {
            assert_eq!(titles(all).len(), Section::ALL.len(), "{all:?}");
        }
    }
}
