//! The one reading of a pass: the sandbox, its Pod, and what else the decision depends on.

use k8s_openapi::api::core::v1::Pod;
use torpor_api::{CheckpointRecord, Sandbox};

use super::{Pass, Told};
use crate::ReconcileError;
use crate::api::Stored;
use crate::companions::{Companion, Companions, checkpoints_matter, claim_name, claims_matter, service_matters};
use crate::observe::{AgentView, Reading};
use crate::pod::{TemplateError, build};

impl Pass<'_> {
    /// Reads everything that the decision depends on, beside what the agent was `told` last; the sandbox itself only if it is
    /// not `known` from the answer to a write just made. `None`: the sandbox is gone.
    pub(super) async fn read(&self, told: Told, known: Option<Stored>) -> Result<Option<Reading>, ReconcileError> {
        let stored = match known {
            Some(stored) => Some(stored),
            None => self.api.sandbox().await?,
        };
        let Some(stored) = stored else {
            return Ok(None);
        };
        let pod = self.api.pod().await?;
        let mut reading = self.context.reading(stored, pod);
        match told {
            Told::Nothing => {}
            Told::FreezeRefused(reason) => reading.freeze_refusal = Some(reason),
            Told::Thawed => reading.thawed = true,
        }
        if let Some(agent) = reading.agent_to_ask() {
            reading.agent = match self.context.agents.state(&agent).await {
                Ok(state) => AgentView::State(state),
                Err(error) => AgentView::Silent(error.to_string()),
            };
        }
        reading.companions = self.companions(&reading).await?;
        if reading.may_start() {
            reading.template_error = self
                .pod_to_start(&reading.sandbox, None)
                .await?
                .err()
                .map(|error| error.to_string());
        }
        Ok(Some(reading))
    }

    /// Reads the objects beside the Pod, as far as anything depends on them.
    async fn companions(&self, reading: &Reading) -> Result<Companions, ReconcileError> {
        let sandbox = &reading.sandbox;
        let mut seen = Companions::default();
        if claims_matter(reading) {
            for template in &sandbox.spec.volume_claim_templates {
                let name = claim_name(sandbox, template);
                let claim = self.api.claim(&name).await?;
                seen.claims.push((name, Companion::of_claim(claim.as_ref(), sandbox)));
            }
        }
        if service_matters(reading) {
            seen.saw_service(self.api.service().await?.as_ref(), sandbox);
        }
        if checkpoints_matter(reading) {
            seen.checkpoints = self.checkpoints.of(reading.uid());
        }
        Ok(seen)
    }

    /// The Pod that a start would create, or why there can be none.
    pub(super) async fn pod_to_start(
        &self,
        sandbox: &Sandbox,
        restore: Option<&CheckpointRecord>,
    ) -> Result<Result<Pod, TemplateError>, ReconcileError> {
        let template = match (&sandbox.spec.template, &sandbox.spec.template_ref) {
            (Some(template), None) => template.clone(),
            (None, Some(reference)) => {
                let Some(template) = self.api.template(&reference.name).await? else {
                    let namespace = self.api.namespace().to_owned();
                    return Ok(Err(TemplateError::NotFound {
                        name: reference.name.clone(),
                        namespace,
                    }));
                };
                template.spec.template
            }
            (Some(_), Some(_)) | (None, None) => return Ok(Err(TemplateError::Ambiguous)),
        };
        Ok(build(
            self.api.front(),
            sandbox,
            &template,
            restore,
            &self.context.config.store_url,
        ))
    }
}
