//! How long a scenario takes at the least, by what it says itself.

use std::time::Duration;

use super::{Scenario, Step};

impl Scenario {
    /// The time that it only looks on.
    pub(crate) fn looks_on(&self) -> Duration {
        of(&self.steps)
    }
}

fn of(steps: &[Step]) -> Duration {
    // Every other step takes as long as the target does.
    let one = |step: &Step| {
        if let Step::Observe(observe) = step {
            observe.during.duration()
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
";
        let steps: Vec<Step> = crate::error::from_yaml("steps.yaml", text).unwrap();
        assert_eq!(of(&steps), Duration::from_secs(7));
    }
}
