//! Conditions on what a controller counts.

use super::conditions::Finding;
use super::world::World;
use crate::probe::{Fault, Sample, fetch_metrics};
use crate::scenario::{MarkSeries, Moved, Series, WayMoved};

impl World {
    pub(super) async fn mark_series(&self, step: &MarkSeries) -> Result<(), Fault> {
        let samples = self.controller_samples().await?;
        self.state().series.insert(step.name.clone(), samples);
        Ok(())
    }

    pub(super) async fn series(&self, wanted: &Series) -> Finding {
        let samples = self.controller_samples().await?;
        let Some(moved) = &wanted.moved else {
            return Ok(high_enough(&samples, wanted));
        };
        let before = self.state().series.get(&moved.since).cloned();
        let unmarked = || Fault::Harness(format!("no `mark-series` `{}` was set", moved.since));
        let before = before.ok_or_else(unmarked)?;
        Ok(high_enough(&samples, wanted).and_then(|()| has_moved(&before, &samples, wanted, moved)))
    }

    async fn controller_samples(&self) -> Result<Vec<Sample>, Fault> {
        fetch_metrics(&self.http, &self.target.controller_metrics).await
    }
}

fn matching<'s>(samples: &'s [Sample], wanted: &'s Series) -> impl Iterator<Item = &'s Sample> {
    samples.iter().filter(|sample| {
        let name = sample.name.to_lowercase();
        let labels: Vec<String> = sample.labels.values().map(|value| value.to_lowercase()).collect();
        let speaks_of = |word: &String| name.contains(word) || labels.iter().any(|label| label.contains(word));
        wanted.words.iter().all(|word| name.contains(word))
            && (wanted.any.is_empty() || wanted.any.iter().any(speaks_of))
    })
}

/// What the series are called that are looked for.
fn described(wanted: &Series) -> String {
    let name = format!("{} in its name", wanted.words.join(" and "));
    if wanted.any.is_empty() {
        name
    } else {
        format!("{name} and {} in its name or a label", wanted.any.join(" or "))
    }
}

fn high_enough(samples: &[Sample], wanted: &Series) -> Result<(), String> {
    let what = described(wanted);
    let largest = matching(samples, wanted).map(|sample| sample.value).reduce(f64::max);
    match (largest, wanted.at_least, &wanted.moved) {
        (Some(largest), Some(least), _) if largest < least => Err(format!(
            "the largest series with {what} is {largest}, not {least} or more"
        )),
        (Some(_), _, _) => Ok(()),
        // One that falls may go altogether.
        (None, None, Some(moved)) if moved.way == WayMoved::Down => Ok(()),
        (None, _, _) => Err(format!("there is no series with {what}")),
    }
}

fn has_moved(before: &[Sample], now: &[Sample], wanted: &Series, moved: &Moved) -> Result<(), String> {
    let value_in = |samples: &[Sample], like: &Sample| {
        let same = samples
            .iter()
            .find(|sample| sample.name == like.name && sample.labels == like.labels);
        same.map_or(0.0, |sample| sample.value)
    };
    let so = match moved.way {
        WayMoved::Up => matching(now, wanted).any(|sample| sample.value > value_in(before, sample)),
        WayMoved::Down => matching(before, wanted).any(|sample| value_in(now, sample) < sample.value),
    };
    if so {
        return Ok(());
    }
    let shown: Vec<String> = matching(now, wanted).map(shown).collect();
    Err(format!(
        "no series with {} went {} since `{}`: {}",
        described(wanted),
        moved.way.as_str(),
        moved.since,
        if shown.is_empty() {
            "there is none".to_owned()
        } else {
            shown.join(", ")
        }
    ))
}

fn shown(sample: &Sample) -> String {
    let labels: Vec<String> = sample
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    format!("{}{{{}}} is {}", sample.name, labels.join(","), sample.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::parse_metrics;

    fn series(any: &[&str], way: WayMoved) -> (Series, Moved) {
        let moved = Moved {
            since: "before".to_owned(),
            way,
        };
        let wanted = Series {
            words: vec!["sandboxes".to_owned()],
            any: any.iter().map(|word| (*word).to_owned()).collect(),
            at_least: None,
            moved: Some(moved.clone()),
        };
        (wanted, moved)
    }

    fn judged(before: &str, now: &str, any: &[&str], way: WayMoved) -> Result<(), String> {
        let (wanted, moved) = series(any, way);
        let (before, now) = (parse_metrics(before).unwrap(), parse_metrics(now).unwrap());
        high_enough(&now, &wanted).and_then(|()| has_moved(&before, &now, &wanted, &moved))
    }

    #[test]
    fn a_series_that_stands_still_has_not_moved_however_high_it_is() {
        let page = "box_sandboxes{phase=\"Paused\"} 9\nbox_sandboxes{phase=\"Running\"} 1\n";
        let found = judged(page, page, &["paused"], WayMoved::Up).unwrap_err();
        assert_eq!(
            found,
            "no series with sandboxes in its name and paused in its name or a label went up since `before`: \
             box_sandboxes{phase=\"Paused\"} is 9"
        );
        assert!(judged(page, page, &[], WayMoved::Down).is_err());
    }

    #[test]
    fn a_series_moves_also_from_nowhere_and_to_nowhere_and_only_those_count_that_are_meant() {
        let (one, two) = ("sandboxes{phase=\"Paused\"} 1\n", "sandboxes{phase=\"Paused\"} 2\n");
        let other = "sandboxes{phase=\"Running\"} 5\n";
        for (before, now, way, right) in [
            (one, two, WayMoved::Up, true),
            (two, one, WayMoved::Up, false),
            ("", one, WayMoved::Up, true),
            (two, one, WayMoved::Down, true),
            (one, "", WayMoved::Down, true),
            (one, two, WayMoved::Down, false),
            ("", "", WayMoved::Down, false),
            ("", other, WayMoved::Up, false),
            ("", "", WayMoved::Up, false),
        ] {
            let found = judged(before, now, &["paused", "suspended"], way);
            assert_eq!(found.is_ok(), right, "{before:?} {now:?} {way:?}: {found:?}");
        }
    }

    #[test]
    fn a_series_that_is_too_low_or_missing_is_told() {
        let (mut wanted, _) = series(&[], WayMoved::Up);
        (wanted.moved, wanted.at_least) = (None, Some(3.0));
        let page = parse_metrics("sandboxes 2\n").unwrap();
        let low = high_enough(&page, &wanted).unwrap_err();
        assert_eq!(low, "the largest series with sandboxes in its name is 2, not 3 or more");
        assert_eq!(
            high_enough(&[], &wanted).unwrap_err(),
            "there is no series with sandboxes in its name"
        );
    }
}
