//! The results as a picture: bars of seconds, a group for each work, in colours
//! that can be told apart on white and on black.

use std::fmt::Write;

use serde_json::Value;

const WIDTH: f64 = 760.0;
const BAR: f64 = 16.0;
const LEFT: f64 = 180.0;
const RIGHT: f64 = 110.0;

/// The SVG of the results: of the works that several subjects have done.
pub(crate) fn svg(results: &[Value]) -> String {
    let is_comparison = |work: &&Value| work["fastestPeer"].is_string();
    let works: Vec<&Value> = results.iter().filter(is_comparison).collect();
    let height: f64 = works
        .iter()
        .map(|work| 44.0 + work["subjects"].as_array().unwrap().len() as f64 * (BAR + 4.0))
        .sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\" aria-label=\"Seconds that deletions take\">\n<style>text{{fill:#1f2328}}\
         .ours{{fill:#0969da}}.peer{{fill:#8c959f}}@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}\
         .ours{{fill:#58a6ff}}.peer{{fill:#6e7681}}}}</style>\n"
    );
    let mut y = 0.0;
    for work in works {
        let subjects = work["subjects"].as_array().unwrap();
        let longest = subjects
            .iter()
            .map(|s| s["seconds"].as_f64().unwrap())
            .fold(0.0, f64::max);
        y += 24.0;
        let (name, says) = (
            work["work"].as_str().unwrap(),
            work["says"].as_str().unwrap(),
        );
        writeln!(
            svg,
            "<text x=\"0\" y=\"{y}\" font-weight=\"bold\">{name}: {says}</text>"
        )
        .unwrap();
        y += 8.0;
        for (at, subject) in subjects.iter().enumerate() {
            let seconds = subject["seconds"].as_f64().unwrap();
            let width = (seconds / longest * (WIDTH - LEFT - RIGHT)).max(1.0);
            let class = if at == 0 { "ours" } else { "peer" };
            let (label, text) = (subject["subject"].as_str().unwrap(), y + BAR - 4.0);
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{label}</text>",
                LEFT - 8.0
            )
            .unwrap();
            writeln!(svg, "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>").unwrap();
            let time = if seconds < 1.0 {
                format!("{:.0} ms", seconds * 1_000.0)
            } else {
                format!("{seconds:.2} s")
            };
            writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{text}\">{time}</text>",
                LEFT + width + 6.0
            )
            .unwrap();
            y += BAR + 4.0;
        }
        y += 12.0;
    }
    svg + "</svg>\n"
}
