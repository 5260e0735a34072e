//! Prometheus text.

use std::collections::BTreeMap;

use url::Url;

use super::{Body, Fault, Http, HttpRequest};

/// One line of Prometheus text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Reads all pages.
pub(crate) async fn fetch(http: &Http, pages: &[Url]) -> Result<Vec<Sample>, Fault> {
    let mut samples = Vec::new();
    for page in pages {
        let what = format!("read metrics from {page}");
        let request = HttpRequest {
            method: "GET",
            url: page.to_string(),
            headers: Vec::new(),
            body: Body::None,
        };
        let answer = http.send(request).await.map_err(|error| Fault::harness(&what, error))?;
        if answer.status != 200 {
            return Err(Fault::Harness(format!("{what}: it answered {}", answer.status)));
        }
        let text = answer.text().await.map_err(|error| Fault::harness(&what, error))?;
        samples.extend(parse(&text).map_err(|fault| Fault::Claim(format!("{page}: {fault}")))?);
    }
    Ok(samples)
}

pub(crate) fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            sample(line).ok_or_else(|| format!("line {} is no Prometheus sample: {line:?}", index + 1))
        })
        .collect()
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(|letter: char| letter == '{' || letter.is_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().ok()?,
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Reads up to the closing brace; gives what follows it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (key, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => match letters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(key.trim().to_owned(), value);
        rest = after.get(end..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_and_without_labels_and_escapes_are_read() {
        let samples = parse("# HELP x y\nup 1\ncpu{pod=\"a\\\"b}\",namespace=\"d\",} 1.5e3 1700\nx{} +Inf\n").unwrap();
        assert_eq!(
            samples[0],
            Sample {
                name: "up".into(),
                labels: BTreeMap::new(),
                value: 1.0
            }
        );
        assert_eq!(samples[1].labels["pod"], "a\"b}");
        assert!((samples[1].value - 1500.0).abs() < f64::EPSILON);
        assert!(samples[2].value.is_infinite());
    }

    #[test]
    fn what_is_no_sample_is_refused_with_its_line_and_without_a_panic() {
        assert!(parse("up 1\nup{a=\"b} 1").unwrap_err().contains("line 2"));
        for wrong in ["up", "up{", "up{a} 1", "up x", "{"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
