//! Paused means that nothing runs.

use std::borrow::Cow;

use super::{View, Violation, name};
use crate::history::Moment;

/// ZERO-01 and ZERO-05: at no revision is a sandbox reported paused while a Pod of it lives.
/// A Pod that is being deleted still holds its resources.
pub(super) fn paused_holds_no_pod(moments: &[Moment<'_>], view: &View<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for moment in moments {
        for (uid, sandbox) in moment.sandboxes.iter().filter(|(_, sandbox)| view.concerns(sandbox)) {
            let Some(report) = view.dialect.reported_paused(sandbox) else {
                continue;
            };
            for pod in moment.live_pods(uid, view.kind()) {
                found.push(Violation {
                    requirement: Cow::Borrowed("ZERO-05"),
                    revision: moment.change.revision(),
                    message: format!(
                        "{} is reported paused ({report}) while its Pod {} lives",
                        name(sandbox),
                        name(pod)
                    ),
                });
            }
        }
    }
    // One report and one Pod stand side by side for many revisions; the first tells it all.
    found.dedup_by(|later, first| later.message == first.message);
    found
}
