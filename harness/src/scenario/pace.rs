//! How long a scenario takes at the least, by what it says itself.

use std::time::Duration;

use super::{Scenario, Span, Step};

impl Scenario {
    /// The time that it only looks on.
    pub(crate) fn looks_on(&self) -> Duration {
        of(&self.steps)
    }

    /// The same scenario, in which no step waits longer than `limit`.
    #[must_use]
    pub fn hurried(&self, limit: Duration) -> Self {
        let mut hurried = self.clone();
        hurry(&mut hurried.steps, Span::from(limit));
        hurried
    }
}

fn hurry(steps: &mut [Step], limit: Span) {
    for step in steps {
        if let Step::Wait(wait) = step {
            wait.within = Some(wait.within.map_or(limit, |own| own.min(limit)));
        } else if let Step::Repeat(repeat) = step {
            hurry(&mut repeat.steps, limit);
        } else if let Step::Race(race) = step {
            race.branches.iter_mut().for_each(|branch| hurry(branch, limit));
        }
    }
}

fn of(steps: &[Step]) -> Duration {
    // Every other step takes as long as the target does.
    let one = |step: &Step| {
        if let Step::Observe(observe) = step {
            observe.during.duration()
        } else if let Step::Wait(wait) = step {
            wait.stable.map(Span::duration).unwrap_or_default()
        } else if let Step::Repeat(repeat) = step {
            of(&repeat.steps).saturating_mul(repeat.times)
        } else if let Step::Race(race) = step {
            race.branches.iter().map(|branch| of(branch)).max().unwrap_or_default()
        } else {
            Duration::ZERO
        }
    };
    steps.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hurried_scenario_waits_no_longer_anywhere() {
        let text = "
- repeat:
    times: 2
    steps:
      - race:
          branches:
            - - wait: {until: [{pods: {count: 0}}], within: 1m}
- wait: {until: [{pods: {count: 0}}], within: 2s}
- wait: {until: [{pods: {count: 0}}]}
";
        let mut steps: Vec<Step> = crate::error::from_yaml("steps.yaml", text).unwrap();
        hurry(&mut steps, Span::seconds(8));
        let waits = serde_json::to_string(&steps).unwrap();
        assert_eq!(waits.matches(r#""within":"8s""#).count(), 2, "{waits}");
        assert_eq!(waits.matches(r#""within":"2s""#).count(), 1, "{waits}");
    }

    #[test]
    fn what_repeats_adds_up_and_what_races_takes_as_long_as_its_longest_branch() {
        let text = "
- repeat:
    times: 3
    steps:
      - race:
          branches:
            - - observe: {during: 2s, holds: [{pods: {count: 0}}]}
            - - observe: {during: 500ms, holds: [{pods: {count: 0}}]}
              - create: {}
- observe: {during: 1s, holds: [{pods: {count: 0}}]}
- wait: {until: [{pods: {count: 0}}], stable: 2s}
";
        let steps: Vec<Step> = crate::error::from_yaml("steps.yaml", text).unwrap();
        assert_eq!(of(&steps), Duration::from_secs(9));
    }
}
