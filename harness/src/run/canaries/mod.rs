//! Lets sandboxes carry out recorded commands, and reads back what they hold. What the answers prove, the log decides.

mod interpreter;
mod process;
mod slots;

use std::collections::BTreeSet;

use super::world::World;
use crate::history::Occurrence;
use crate::oracle::{CommandLog, Outcome};
use crate::probe::Fault;
use crate::scenario::{Canary, Recall, Work};
use crate::workload::{Content, Operation, Register, script, shown};

/// The commands of a sandbox so far.
#[derive(Debug, Default)]
pub(super) struct Worked {
    log: CommandLog,
    /// What the sandbox was prepared for.
    prepared: BTreeSet<Canary>,
}

/// What came back of a command.
enum Carried {
    /// It was carried out; the content after it, where the answer tells.
    Out(Option<Content>),
    /// There was no answer, or one that does not tell whether it was carried out.
    Cut(Fault),
}

impl World {
    pub(super) async fn work(&self, step: &Work) -> Result<(), Fault> {
        let seed = step
            .seed
            .clone()
            .unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
        self.journal.note(Occurrence::Probe {
            what: format!("seed of the commands for {}", step.sandbox),
            value: seed.clone(),
        });
        self.prepare(step).await?;
        let first = self.with_log(&step.sandbox, |log| log.next())?;
        for (register, operation) in script(&seed, first, step.commands, &step.canaries) {
            self.goes_on()?;
            match self.carry_out(step, register, &operation).await? {
                Carried::Out(told) => self.acknowledged(&step.sandbox, register, operation, told)?,
                Carried::Cut(fault) if step.may_be_cut => {
                    return self.lost(&step.sandbox, register, operation, fault.message());
                }
                Carried::Cut(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Reads every register that commands were about.
    pub(super) async fn recall(&self, step: &Recall) -> Result<(), Fault> {
        let id = self.sandbox(&step.sandbox)?.address.id;
        let prepared = self.state().worked.get(&id).map(|worked| worked.prepared.clone());
        let Some(canaries) = prepared else {
            return Err(Fault::Harness(format!("no `work` step was about `{}`", step.sandbox)));
        };
        let read = Work {
            sandbox: step.sandbox.clone(),
            canaries: Vec::new(),
            commands: 0,
            seed: None,
            lasting: None,
            may_be_cut: false,
        };
        for canary in canaries {
            for name in canary.names() {
                self.goes_on()?;
                let register = Register { canary, name };
                match self.carry_out(&read, register, &Operation::Read).await? {
                    Carried::Out(told) => self.acknowledged(&step.sandbox, register, Operation::Read, told)?,
                    Carried::Cut(fault) => return Err(fault),
                }
            }
        }
        Ok(())
    }

    /// Makes in the sandbox what the commands are about, once.
    async fn prepare(&self, step: &Work) -> Result<(), Fault> {
        let id = self.sandbox(&step.sandbox)?.address.id;
        let known = self.state().worked.entry(id.clone()).or_default().prepared.clone();
        let new: BTreeSet<Canary> = step
            .canaries
            .iter()
            .copied()
            .filter(|canary| !known.contains(canary))
            .collect();
        for canary in new {
            match canary {
                Canary::Heap | Canary::Counter => self.prepare_interpreter(&step.sandbox, canary).await?,
                Canary::Process => self.prepare_process(&step.sandbox).await?,
                Canary::Files | Canary::MemorySlots | Canary::FileSlots => {}
            }
            if let Some(worked) = self.state().worked.get_mut(&id) {
                worked.prepared.insert(canary);
            }
        }
        Ok(())
    }

    async fn carry_out(&self, step: &Work, register: Register, operation: &Operation) -> Result<Carried, Fault> {
        match register.canary {
            Canary::Heap | Canary::Counter => self.in_memory(step, register, operation).await,
            Canary::Files => self.in_files(step, register, operation).await,
            Canary::Process => self.in_process(step, register, operation).await,
            Canary::MemorySlots | Canary::FileSlots => self.in_slot(step, register, operation).await,
        }
    }

    fn with_log<T>(&self, alias: &str, act: impl FnOnce(&mut CommandLog) -> T) -> Result<T, Fault> {
        let id = self.sandbox(alias)?.address.id;
        Ok(act(&mut self.state().worked.entry(id).or_default().log))
    }

    fn acknowledged(
        &self,
        alias: &str,
        register: Register,
        operation: Operation,
        told: Option<Content>,
    ) -> Result<(), Fault> {
        let (command, value) = (format!("{register}: {operation}"), told.as_ref().map(shown));
        let (number, judged) = self.with_log(alias, |log| {
            (log.next(), log.record(register, operation, Outcome::Acknowledged(told)))
        })?;
        self.journal.note(Occurrence::Command {
            number,
            sandbox: alias.to_owned(),
            command,
            value,
            lost: None,
        });
        judged.map_err(|contradiction| Fault::Claim(contradiction.to_string()))
    }

    fn lost(&self, alias: &str, register: Register, operation: Operation, why: &str) -> Result<(), Fault> {
        let command = format!("{register}: {operation}");
        let (number, judged) = self.with_log(alias, |log| {
            (
                log.next(),
                log.record(register, operation, Outcome::Lost(why.to_owned())),
            )
        })?;
        self.journal.note(Occurrence::Command {
            number,
            sandbox: alias.to_owned(),
            command,
            value: None,
            lost: Some(why.to_owned()),
        });
        judged.map_err(|contradiction| Fault::Claim(contradiction.to_string()))
    }
}
