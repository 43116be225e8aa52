//! The chart of the results, as plain SVG: throughput by round, and the drain beside its control.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::report::read;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 360.0;
/// The plot of the rounds: left, top, right, bottom.
const ROUNDS: [f64; 4] = [70.0, 60.0, 520.0, 300.0];
/// The bars of the drain.
const BARS: [f64; 4] = [610.0, 60.0, 830.0, 300.0];
const COLOURS: [&str; 3] = ["#8a8a8a", "#1f6fb2", "#c2571a"];

/// Draws the latest rounds and the latest drain against Graphile Worker.
pub(crate) fn draw(results: &Path, svg: &Path) -> Result<()> {
    let all = read(results)?;
    let of = |bench: &'static str| all.iter().filter(move |record| record["bench"] == bench).map(|r| &r["figures"]);
    let latest = |held: &str| of("rounds").rfind(|figures| figures["held"] == held);
    let series: Vec<(&str, Vec<f64>)> = ["none", "old snapshot", "uncommitted insert"]
        .into_iter()
        .filter_map(|held| Some((held, numbers(&latest(held)?["rates"]))))
        .collect();
    if series.is_empty() {
        bail!("{} holds no rounds: run `rounds` first", results.display());
    }
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    rounds(&mut text, &series)?;
    if let Some(figures) = of("graphile").rfind(|figures| figures["ratio"].is_number()) {
        bars(&mut text, figures)?;
    }
    text.push_str("</svg>\n");
    std::fs::write(svg, text).with_context(|| format!("writing {}", svg.display()))
}

fn numbers(of: &Value) -> Vec<f64> {
    of.as_array().map(|all| all.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
}

fn rounds(text: &mut String, series: &[(&str, Vec<f64>)]) -> Result<()> {
    let [left, top, right, bottom] = ROUNDS;
    let most = series.iter().flat_map(|(_, rates)| rates).fold(1.0_f64, |most, rate| most.max(*rate));
    let step = nice_step(most);
    let height = (most / step).ceil() * step;
    let y = |rate: f64| bottom - (bottom - top) * rate / height;
    writeln!(
        text,
        "<text x=\"{left}\" y=\"30\" font-size=\"15\">Tasks per second by round, while another session holds …</text>"
    )?;
    let mut line = 0.0;
    while line <= height {
        let at = y(line);
        writeln!(text, "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>")?;
        writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0}k</text>",
            left - 8.0,
            at + 4.0,
            line / 1e3
        )?;
        line += step;
    }
    for (number, (held, rates)) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let width = (right - left) / (rates.len() as f64 - 0.5);
        let mut points = String::new();
        for (round, rate) in rates.iter().enumerate() {
            let (x, y) = (left + width * (round as f64 + 0.25), y(*rate));
            write!(points, "{x:.1},{y:.1} ")?;
            writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")?;
            if number == 0 {
                writeln!(
                    text,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                    bottom + 18.0,
                    round + 1
                )?;
            }
        }
        writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.trim_end()
        )?;
        let x = left + 150.0 * number as f64;
        writeln!(text, "<rect x=\"{x:.1}\" y=\"334\" width=\"12\" height=\"12\" fill=\"{colour}\"/>")?;
        let held = if *held == "none" { "nothing" } else { held };
        writeln!(text, "<text x=\"{:.1}\" y=\"344\">{held}</text>", x + 18.0)?;
    }
    Ok(())
}

fn bars(text: &mut String, figures: &Value) -> Result<()> {
    let [left, top, right, bottom] = BARS;
    let ratio = figures["ratio"].as_f64().unwrap_or_default();
    let most = ratio.max(2.0) * 1.1;
    writeln!(text, "<text x=\"{left}\" y=\"30\" font-size=\"15\">Drain, Graphile Worker = 1</text>")?;
    let goal = bottom - (bottom - top) * 2.0 / most;
    for (number, (name, value)) in [("Graphile Worker", 1.0), ("Longshore", ratio)].into_iter().enumerate() {
        let x = left + (right - left) / 2.0 * number as f64;
        let height = (bottom - top) * value / most;
        writeln!(
            text,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"80\" height=\"{height:.1}\" fill=\"{}\"/>",
            bottom - height,
            COLOURS[number]
        )?;
        writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.2}</text>",
            x + 40.0,
            bottom - height - 6.0
        )?;
        writeln!(text, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>", x + 40.0, bottom + 18.0)?;
    }
    writeln!(
        text,
        "<line x1=\"{left}\" y1=\"{goal:.1}\" x2=\"{right}\" y2=\"{goal:.1}\" stroke=\"black\" stroke-dasharray=\"4 4\"/>"
    )?;
    writeln!(text, "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">floor: 2</text>", goal - 5.0)?;
    Ok(())
}

/// A round distance of lines so that there are four to eight of them.
fn nice_step(most: f64) -> f64 {
    let power = 10.0_f64.powf((most / 4.0).log10().floor());
    [5.0, 2.0].into_iter().map(|times| times * power).find(|step| most / step >= 4.0).unwrap_or(power)
}
