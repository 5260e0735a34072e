//! The meters of the controller, as it serves them.

use crate::bench::load::{Call, Connection};
use crate::bench::server::METERS;

/// All meters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meters(String);

impl Meters {
    /// Asks for them.
    pub async fn read(connection: &mut Connection) -> anyhow::Result<Self> {
        let page = connection.expect(&Call::get(METERS)).await?;
        Ok(Self(String::from_utf8_lossy(&page).into_owned()))
    }

    /// The sum of the values of a meter over all labels that have this in them; zero for a meter that is not there.
    pub fn sum(&self, meter: &str, with: impl Fn(&str) -> bool) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            (name == meter && with(labels))
                .then(|| value.parse::<f64>().ok())
                .flatten()
        });
        // The sum of nothing would be minus zero.
        values.fold(0.0, |sum, value| sum + value)
    }

    /// Requests to the API server of these verbs about resources that `about` chooses.
    pub fn requests(&self, verbs: &[&str], about: impl Fn(&str) -> bool) -> f64 {
        self.sum("torpor_api_requests_total", |labels| {
            let verb = label(labels, "verb");
            verbs.iter().any(|wanted| verb == Some(wanted)) && label(labels, "resource").is_some_and(&about)
        })
    }

    /// All requests to the API server.
    pub fn all_requests(&self) -> f64 {
        self.sum("torpor_api_requests_total", |_| true)
    }

    /// Sandboxes in a phase.
    pub fn in_phase(&self, phase: &str) -> f64 {
        self.sum("torpor_sandboxes", |labels| label(labels, "phase") == Some(phase))
    }

    /// Sandboxes that wait to be looked at.
    pub fn queue(&self) -> f64 {
        self.sum("torpor_reconcile_queue_depth", |_| true)
    }
}

/// The value of a label.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let labels = labels.trim_end_matches('}').split(',');
    labels
        .filter_map(|label| label.split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_are_chosen_by_their_labels_and_summed() {
        let page = "# TYPE torpor_sandboxes gauge\n\
            torpor_sandboxes{phase=\"Paused\"} 3\n\
            torpor_sandboxes{phase=\"Running\"} 4\n\
            torpor_reconcile_queue_depth 2\n\
            torpor_api_requests_total{verb=\"patch\",resource=\"sandboxes/status\",code=\"200\"} 5\n\
            torpor_api_requests_total{verb=\"create\",resource=\"events\",code=\"201\"} 7\n\
            torpor_api_requests_total{verb=\"get\",resource=\"pods\",code=\"404\"} 11\n";
        let meters = Meters(page.to_owned());
        let writes = ["create", "patch"];
        let counts = [
            meters.in_phase("Paused"),
            meters.in_phase("Failed"),
            meters.queue(),
            meters.all_requests(),
            meters.requests(&writes, |resource| resource != "events"),
            meters.requests(&writes, |resource| resource == "events"),
        ];
        assert_eq!(format!("{counts:?}"), "[3.0, 0.0, 2.0, 23.0, 5.0, 7.0]");
    }
}
