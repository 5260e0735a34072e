//! Carries out what is due for the objects beside the Pod.

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
            Chore::CreateService(service) => Ok(put_off("create the Service", self.api.create_service(service).await)),
            Chore::DeleteService { uid } => {
                let deleted = self.api.delete_service(uid.clone()).await;
                Ok(put_off("delete the Service", deleted))
            }
            Chore::CreateCheckpoint(checkpoint) => {
                let created = there_is_fine(self.api.create_checkpoint(checkpoint).await);
                if created.is_ok() {
                    self.checkpoints.created((**checkpoint).clone());
                }
                Ok(put_off("create the Checkpoint", created))
            }
            Chore::DeleteCheckpoint { generation, name } => {
                let deleted = self.api.delete_checkpoint(name).await;
                if deleted.is_ok() {
                    self.checkpoints.deleted(uid, *generation);
                }
                Ok(put_off("delete an outlived Checkpoint", deleted))
            }
        }
    }
}

/// The watch of Checkpoints lags behind: another controller, or this one before it died, may have made it.
fn there_is_fine(created: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match created {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other,
    }
}

/// A pause must not fail for want of a Service or a Checkpoint to look at.
fn put_off<E: std::fmt::Display>(attempt: &'static str, result: Result<(), E>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::warn!(%error, attempt, "it is tried again later");
            Outcome::PutOff
        }
    }
}
