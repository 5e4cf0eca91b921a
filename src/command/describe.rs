//! COMMAND and the HELPs: what the command table alone can answer.

use super::dispatch::{Context, Flow};
use super::errors::CommandError;
use super::spec::CommandId;
use super::{help, introspect, table};

impl Context<'_> {
    /// Answers a command about commands.
    pub(super) fn describe(&mut self, command: CommandId) -> Result<Flow, CommandError> {
        let args: Vec<&[u8]> = self.request.args().collect();
        let reply = match command {
            CommandId::Command => introspect::info(&[]),
            CommandId::CommandCount => introspect::count(),
            CommandId::CommandInfo => introspect::info(&args[2..]),
            CommandId::CommandDocs => introspect::docs(&args[2..]),
            CommandId::CommandList => introspect::list(&args[2..])?,
            CommandId::CommandGetKeys => introspect::get_keys(&args[2..])?,
            CommandId::CommandHelp | CommandId::ClientHelp | CommandId::ClusterHelp | CommandId::ConfigHelp => {
                let container = table::lookup(args[0]).ok_or(CommandError::Syntax)?;
                help::help(container)
            }
            other => unreachable!("{other:?} has an arm of its own in the dispatcher"),
        };
        Ok(self.frame(&reply))
    }
}
