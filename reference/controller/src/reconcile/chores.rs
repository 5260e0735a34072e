//! Carries out what is due for the objects beside the Pod.

use torpor_api::Checkpoint;

use super::{Outcome, Pass, is_refusal};
use crate::ReconcileError;
use crate::companions::Chore;
use crate::status::Obstacle;

impl Pass<'_> {
    /// Makes the write, for the sandbox of this UID.
    pub(super) async fn carry_out(&self, uid: &str, chore: &Chore) -> Result<Outcome, ReconcileError> {
        match chore {
            Chore::CreateClaim(claim) => {
                let name = claim.metadata.name.as_deref().unwrap_or("");
                match self.api.create_claim(claim).await {
                    Err(kube::Error::Api(status)) if is_refusal(&status) => Ok(Outcome::Refused(
                        Obstacle::CreateRefused(format!("create the volume claim {name}: {}", status.message)),
                    )),
                    created => created
                        .map(|()| Outcome::Done)
                        .map_err(ReconcileError::api("create a volume claim")),
                }
            }
            Chore::CreateService(service) => {
                let created = self.api.create_service(service).await;
                Ok(put_off(chore, "create the Service", created))
            }
            Chore::DeleteService { uid } => {
                let deleted = self.api.delete_service(uid.clone()).await;
                Ok(put_off(chore, "delete the Service", deleted))
            }
            Chore::CreateCheckpoint(checkpoint) => {
                let created = or_is_there(self.api.create_checkpoint(checkpoint).await, checkpoint);
                let noted = created.map(|created| self.checkpoints.created(created));
                Ok(put_off(chore, "create the Checkpoint", noted))
            }
            // No other one that has its name by now.
            Chore::DeleteCheckpoint {
                generation,
                name,
                uid: outlived,
            } => {
                let deleted = self.api.delete_checkpoint(name, outlived.clone()).await;
                if deleted.is_ok() {
                    self.checkpoints.deleted(uid, *generation);
                }
                Ok(put_off(chore, "delete an outlived Checkpoint", deleted))
            }
        }
    }
}

/// What was created, or `meant` if one of its name is there. The watch of Checkpoints lags behind: another controller, or
/// this one before it died, may have made it.
fn or_is_there(created: Result<Checkpoint, kube::Error>, meant: &Checkpoint) -> Result<Checkpoint, kube::Error> {
    match created {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(meant.clone()),
        other => other,
    }
}

/// A pause must not fail for want of a Service or a Checkpoint to look at.
fn put_off<E: std::fmt::Display>(chore: &Chore, attempt: &'static str, result: Result<(), E>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::warn!(%error, attempt, "it is tried again later");
            Outcome::PutOff { chore: chore.name() }
        }
    }
}
