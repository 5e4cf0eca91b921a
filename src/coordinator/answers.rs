//! Peers' answers in the words of the state machines, and their outcomes in the words of the coordinator's callers.

use super::journey::Ending;
use super::prepare::{PrepareAnswer, PrepareOutcome};
use super::read::{Found, ReadAnswer, ReadOutcome, ReadProgress, WriteBackAnswer};
use super::write::{Before, WriteAnswer, WriteOutcome};
use super::{Outcome, QuorumError};
use crate::mutation::{Mutation, is_on};
use crate::peer::{LinkFault, PeerReply, ReadRecord};

pub(super) fn write_answer(answer: Result<PeerReply, LinkFault>) -> WriteAnswer {
    match answer {
        Ok(PeerReply::Ok) => WriteAnswer::Acked(Before::default()),
        Ok(PeerReply::Prior { version, live }) => WriteAnswer::Acked(Before { version, live }),
        Ok(PeerReply::Stale(_)) if is_on(Mutation::StaleIsAck) => WriteAnswer::Acked(Before::default()),
        Ok(PeerReply::Stale(newer)) => WriteAnswer::Stale(newer),
        Ok(PeerReply::StaleSyncing(newer)) => WriteAnswer::StaleSyncing(newer),
        Ok(PeerReply::Promised(ballot)) => WriteAnswer::Promised(ballot),
        Ok(other) => WriteAnswer::Uncounted(refusal(&other)),
        Err(fault) if !fault.was_sent() => WriteAnswer::Unsent,
        Err(fault) => WriteAnswer::Lost(fault.to_string()),
    }
}

pub(super) fn revert_answer(answer: Result<PeerReply, LinkFault>) -> Result<(), String> {
    match answer {
        Ok(PeerReply::Ok) => Ok(()),
        Ok(other) => Err(refusal(&other)),
        Err(fault) => Err(fault.to_string()),
    }
}

pub(super) fn read_answer(answer: Result<PeerReply, LinkFault>) -> ReadAnswer {
    match answer {
        Ok(PeerReply::Missing) => ReadAnswer::Missing,
        Ok(PeerReply::Record(record)) => {
            let ReadRecord { version, expires_at, value } = record;
            ReadAnswer::Found(Found { version, expires_at, value })
        }
        Ok(other) => ReadAnswer::Uncounted(refusal(&other)),
        Err(fault) => ReadAnswer::Uncounted(fault.to_string()),
    }
}

pub(super) fn prepare_answer(answer: Result<PeerReply, LinkFault>) -> PrepareAnswer {
    match answer {
        Ok(PeerReply::Promised(ballot)) => PrepareAnswer::Promised(ballot),
        Ok(PeerReply::Withheld(uncertain)) => PrepareAnswer::Withheld(uncertain),
        other => match read_answer(other) {
            ReadAnswer::Missing => PrepareAnswer::Shows(None),
            ReadAnswer::Found(found) => PrepareAnswer::Shows(Some(found)),
            ReadAnswer::Uncounted(_) => PrepareAnswer::Uncounted,
        },
    }
}

pub(super) fn prepare_outcome(outcome: PrepareOutcome) -> Ending {
    match outcome {
        PrepareOutcome::Promised(prepared) => Ending::Prepared(prepared),
        PrepareOutcome::Outrun(ballot) => Ending::Outrun(ballot),
        PrepareOutcome::Withheld { contested } => Ending::Withheld { contested },
        PrepareOutcome::TooFew { answers, needed } => {
            Outcome::Failed(QuorumError::TooFewForWrite { reachable: answers, needed }).into()
        }
    }
}

pub(super) fn write_back_answer(answer: Result<PeerReply, LinkFault>) -> WriteBackAnswer {
    match answer {
        Ok(PeerReply::Ok) => WriteBackAnswer::Held,
        // What it was promised for, or what settles the key, is newer.
        Ok(PeerReply::Stale(_) | PeerReply::Promised(_)) => WriteBackAnswer::Newer,
        Ok(other) => WriteBackAnswer::Uncounted(refusal(&other)),
        Err(fault) => WriteBackAnswer::Uncounted(fault.to_string()),
    }
}

/// Why an answer counts for nothing.
pub(super) fn refusal(reply: &PeerReply) -> String {
    match reply {
        PeerReply::Syncing => "a replica is syncing".to_owned(),
        PeerReply::Kept => "a replica could not take the write back any more".to_owned(),
        PeerReply::Promised(_) => "an update is under way".to_owned(),
        PeerReply::Void => "a replica had taken the write back before".to_owned(),
        PeerReply::Drift(text) | PeerReply::Refused(text) => text.clone(),
        PeerReply::Ok
        | PeerReply::Each(_)
        | PeerReply::Prior { .. }
        | PeerReply::Stale(_)
        | PeerReply::StaleSyncing(_)
        | PeerReply::Withheld(_)
        | PeerReply::Missing
        | PeerReply::Record(_)
        | PeerReply::Records(_)
        | PeerReply::Keys { .. }
        | PeerReply::Digests { .. }
        | PeerReply::Scan(_)
        | PeerReply::Integer(_) => "a replica answered something else than was asked".to_owned(),
    }
}

pub(super) fn write_outcome(outcome: WriteOutcome, needed: u16) -> Ending {
    let outcome = match outcome {
        WriteOutcome::Acked(before) => Outcome::Written(before),
        WriteOutcome::Outrun(above) => return Ending::Outrun(above),
        WriteOutcome::Reverted { acks, reason } => Outcome::Failed(QuorumError::Reverted { acks, needed, reason }),
        WriteOutcome::Indeterminate { acks, reason } => {
            Outcome::Failed(QuorumError::Indeterminate { acks, needed, reason })
        }
    };
    outcome.into()
}

pub(super) fn read_outcome(progress: ReadProgress) -> Outcome {
    let quorum = progress.quorum();
    match progress.into_outcome() {
        ReadOutcome::Answer(found) => Outcome::Read(found),
        ReadOutcome::NoQuorum { answers, reason } => {
            Outcome::Failed(QuorumError::TooFewForRead { answers, needed: quorum.read, reason })
        }
        ReadOutcome::NotWrittenBack { holders, reason } => {
            Outcome::Failed(QuorumError::NotWrittenBack { holders, needed: quorum.write, reason })
        }
    }
}
