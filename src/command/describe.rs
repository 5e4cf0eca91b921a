//! COMMAND and the HELPs: what the command table alone can answer.

use crate::codec::reply;

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::spec::CommandId;
use super::{help, introspect, table};

/// Names of one COMMAND INFO that are described before other clients get their turn.
const NAMES_PER_TURN_MAX: usize = 32;

impl Context<'_> {
    /// COMMAND INFO: an entry for each name, in shares. An entry is hundreds of times as long as a name, so a request
    /// with many names must not be answered at once.
    pub(super) fn describe_each(&mut self) -> Flow {
        let (request, from) = (self.request, self.from.max(2));
        if from == request.len() {
            return self.frame(&introspect::info());
        }
        if from == 2 {
            reply::array(&mut self.turn.out, request.len() - 2);
        }
        let end = request.len().min(from + NAMES_PER_TURN_MAX);
        for argument in from..end {
            self.frame(&introspect::info_of(request.arg(argument)));
        }
        if end < request.len() { Flow::More(end) } else { Flow::Next }
    }

    /// Answers a command about commands.
    pub(super) fn describe(&mut self, command: CommandId) -> Result<Flow, CommandError> {
        let args: Vec<&[u8]> = self.request.args().collect();
        let reply = match command {
            CommandId::Command => introspect::info(),
            CommandId::CommandCount => introspect::count(),
            CommandId::CommandDocs => introspect::docs(&args[2..]),
            CommandId::CommandList => introspect::list(&args[2..])?,
            CommandId::CommandGetKeys => introspect::get_keys(&args[2..])?,
            _ if args.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"help")) => {
                let container = table::lookup(args[0]).ok_or(CommandError::Syntax)?;
                help::help(container)
            }
            other => unreachable!("{other:?} has an arm of its own in the dispatcher"),
        };
        Ok(self.frame(&reply))
    }
}
