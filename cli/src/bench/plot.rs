//! A plot of pauses and resumes by size of the heap, as SVG: both axes logarithmic.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const MARGIN: f64 = 64.0;
const LINES: [(&str, &str); 4] = [
    ("dump alone", "#9aa0a6"),
    ("pause until sealed", "#1a73e8"),
    ("load alone", "#bdb08a"),
    ("resume", "#e8710a"),
];

/// What was measured at one size: dump, pause, load and resume, in milliseconds.
pub struct Points {
    pub bytes: usize,
    pub milliseconds: [f64; 4],
}

/// An axis: decades from the smallest value to the largest.
struct Axis {
    first: f64,
    last: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let first = values.clone().fold(f64::MAX, f64::min).max(1e-3).log10().floor();
        let last = values.fold(f64::MIN, f64::max).max(1e-3).log10().ceil();
        Self {
            first,
            last: last.max(first + 1.0),
        }
    }

    /// 0 at the first decade, 1 at the last.
    fn place(&self, value: f64) -> f64 {
        (value.max(1e-3).log10() - self.first) / (self.last - self.first)
    }

    /// From the left margin to the right one.
    fn across(&self, value: f64) -> f64 {
        MARGIN + self.place(value) * (WIDTH - 2.0 * MARGIN)
    }

    /// From the bottom margin to the top one.
    fn up(&self, value: f64) -> f64 {
        HEIGHT - MARGIN - self.place(value) * (HEIGHT - 2.0 * MARGIN)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        let (first, last) = (self.first, self.last);
        std::iter::successors(Some(first), move |decade| (*decade < last).then_some(decade + 1.0))
            .map(|decade| 10_f64.powf(decade))
    }
}

/// Marks the decades of both axes.
fn grid(across: &Axis, up: &Axis) -> String {
    let (bottom, right) = (HEIGHT - MARGIN, WIDTH - MARGIN);
    let mut grid = String::new();
    for bytes in across.decades() {
        let x = across.across(bytes);
        let _ = writeln!(grid, "<path d=\"M{x:.1} {MARGIN} V{bottom}\" stroke=\"#eee\"/>");
        let y = bottom + 18.0;
        let _ = writeln!(
            grid,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{bytes} B</text>"
        );
    }
    for milliseconds in up.decades() {
        let (x, y) = (MARGIN - 6.0, up.up(milliseconds));
        let _ = writeln!(grid, "<path d=\"M{MARGIN} {y:.1} H{right}\" stroke=\"#eee\"/>");
        let y = y + 4.0;
        let _ = writeln!(
            grid,
            "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{milliseconds} ms</text>"
        );
    }
    grid
}

/// The plot.
#[expect(clippy::cast_precision_loss, reason = "sizes in a benchmark are far below 2^52")]
pub fn render(points: &[Points]) -> String {
    let sizes = points.iter().map(|point| point.bytes as f64);
    let times = points.iter().flat_map(|point| point.milliseconds);
    let (across, up) = (Axis::over(sizes), Axis::over(times));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    svg.push_str(&grid(&across, &up));
    let mut line = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    for (nth, (name, colour)) in LINES.iter().enumerate() {
        let mut path = String::new();
        for point in points {
            let (x, y) = (across.across(point.bytes as f64), up.up(point.milliseconds[nth]));
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1} ");
        }
        line(format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ));
        let top = MARGIN + 16.0 * nth as f64;
        line(format!(
            "<text x=\"{}\" y=\"{top}\" fill=\"{colour}\">{name}</text>",
            MARGIN + 10.0
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_point_for_each_size_within_the_picture() {
        let points = [(800, 0.01), (560_000, 2.0), (63_000_000, 500.0)].map(|(bytes, ms)| Points {
            bytes,
            milliseconds: [ms, ms * 1.2, ms * 2.0, ms * 2.1],
        });
        let svg = render(&points);
        let lines: Vec<&str> = svg.lines().filter(|line| line.contains("stroke-width")).collect();
        assert_eq!(lines.len(), LINES.len());
        for line in lines {
            let path = line.split('"').nth(1).expect("a path");
            let numbers = path
                .split([' ', 'M', 'L'])
                .filter_map(|number| number.parse::<f64>().ok());
            let numbers: Vec<f64> = numbers.collect();
            assert_eq!(numbers.len(), 2 * points.len());
            assert!(numbers.iter().all(|number| (0.0..=WIDTH).contains(number)), "{path}");
        }
    }
}
