//! Commands by the adapter of a target.

use super::Carried;
use crate::adapter::{AdapterError, Facet, Slot};
use crate::probe::Fault;
use crate::run::world::World;
use crate::scenario::{Canary, Work};
use crate::workload::{Operation, Register};

impl World {
    pub(super) async fn in_slot(
        &self,
        step: &Work,
        register: Register,
        operation: &Operation,
    ) -> Result<Carried, Fault> {
        let facet = if register.canary == Canary::FileSlots {
            Facet::Files
        } else {
            Facet::Memory
        };
        let slot = Slot {
            facet,
            key: format!("torpor_{}", register.name),
        };
        let subject = self.subject(&step.sandbox)?;
        let adapter = self.adapter()?;
        let carried = match operation {
            Operation::Put(text) => adapter.probe_write(&subject, &slot, text).await.map(|()| None),
            Operation::Append(_) | Operation::Add(_) | Operation::Remove | Operation::Read => {
                adapter.probe_read(&subject, &slot).await.map(Some)
            }
        };
        match carried {
            Ok(told) => Ok(Carried::Out(told)),
            Err(refused @ AdapterError::Refused { .. }) => Ok(Carried::Cut(refused.into())),
            Err(broken @ (AdapterError::Broken { .. } | AdapterError::Missing(_))) if step.may_be_cut => {
                Ok(Carried::Cut(broken.into()))
            }
            Err(broken @ (AdapterError::Broken { .. } | AdapterError::Missing(_))) => Err(broken.into()),
        }
    }
}
