//! The panels of the temperature plot; each shows one thing, over the temperatures, in equal steps.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use crate::chart::{Area, Chart, Drawn, Fallible, legend, text};

use super::softness::HEAD;
use super::survey::Level;

/// The likeliest class, the rest of the head, the tail: from dark to light.
const SHADES: [RGBColor; 3] = [RGBColor(8, 64, 129), RGBColor(67, 147, 195), RGBColor(209, 229, 240)];
const ENTROPY: RGBColor = RGBColor(8, 64, 129);
const SOFT: RGBColor = RGBColor(178, 24, 43);
const DIVERGENCE: RGBColor = RGBColor(110, 110, 110);

/// More temperatures than this leave no room for a number at each.
const NUMBERED: usize = 8;

/// Where the teacher's probability lies: a bar for each temperature, in three parts.
pub(crate) fn mass<DB: DrawingBackend>(area: &Area<DB>, levels: &[Level]) -> Drawn
where
    DB::ErrorType: 'static,
{
    let mut chart = chart(area, "Where its probability lies", levels, 1.0)?;
    let parts = ["top 1", &format!("top 2 to {HEAD}"), &format!("outside top {HEAD}")];
    for (part, (name, shade)) in parts.iter().zip(SHADES).enumerate() {
        let bars = levels.iter().enumerate().map(|(index, level)| {
            let (x, edges) = (index as f64, edges(level));
            Rectangle::new([(x - 0.38, edges[part]), (x + 0.38, edges[part + 1])], shade.filled())
        });
        chart
            .draw_series(bars)?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 14, y + 6)], shade.filled()));
    }
    if levels.len() <= NUMBERED {
        chart.draw_series(levels.iter().enumerate().flat_map(|(index, level)| shares(index, level)))?;
    }
    legend(&mut chart)
}

/// The heights at which the three parts of a bar begin and end.
fn edges(level: &Level) -> [f64; 4] {
    let head = 1.0 - level.teacher.outside_head;
    [0.0, level.teacher.top1.min(head), head, 1.0]
}

/// The parts' shares as numbers, where a part is tall enough for one.
fn shares<'t>(index: usize, level: &Level) -> Vec<Text<'t, (f64, f64), String>> {
    let edges = edges(level);
    let tall = (0..3).filter(|&part| edges[part + 1] - edges[part] >= 0.06);
    let number = |part: usize| {
        let share = edges[part + 1] - edges[part];
        let colour = if part == 2 { BLACK } else { WHITE };
        let style = text(colour, HPos::Center, VPos::Center);
        Text::new(format!("{:.0}%", share * 100.0), (index as f64, (edges[part] + edges[part + 1]) / 2.0), style)
    };
    tall.map(number).collect()
}

/// The teacher's entropy, under what it is where all classes share the mass.
pub(crate) fn entropy<DB: DrawingBackend>(area: &Area<DB>, levels: &[Level], vocab: usize) -> Drawn
where
    DB::ErrorType: 'static,
{
    let uniform = (vocab as f64).ln();
    let mut chart = chart(area, "Its entropy (nats)", levels, uniform)?;
    let ends = [(-0.5, uniform), (levels.len() as f64 - 0.5, uniform)];
    chart.draw_series(DashedLineSeries::new(ends, 6, 4, BLACK.mix(0.6).stroke_width(1)))?;
    let style = text(BLACK, HPos::Left, VPos::Bottom);
    let note = format!("uniform: ln {vocab} = {uniform:.2}");
    chart.draw_series([Text::new(note, (-0.45, uniform * 1.01), style)])?;
    let values: Vec<Option<f64>> = levels.iter().map(|level| Some(level.teacher.entropy)).collect();
    let points = line(&mut chart, &values, ENTROPY, None)?;
    // Entropy grows with the temperature, so the line leaves two sides of a point free; near the axis, only one is left.
    let low = |index: usize| points[index].1 < uniform * 0.1;
    let anchor = |index| if low(index) { (HPos::Right, VPos::Bottom) } else { (HPos::Left, VPos::Top) };
    numbers(&mut chart, &points, ENTROPY, anchor)
}

/// How far the student is from the teacher.
pub(crate) fn divergence<DB: DrawingBackend>(area: &Area<DB>, levels: &[Level]) -> Drawn
where
    DB::ErrorType: 'static,
{
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let soft: Vec<Option<f64>> = levels.iter().map(|level| finite(level.soft)).collect();
    let plain: Vec<Option<f64>> = levels.iter().map(|level| finite(level.divergence())).collect();
    let top = soft.iter().chain(&plain).flatten().copied().fold(0.0, f64::max);
    let mut chart = chart(area, "The student's distance (nats)", levels, top)?;
    if soft.contains(&None) {
        let style = text(SOFT, HPos::Center, VPos::Center);
        let middle = ((levels.len() as f64 - 1.0) / 2.0, height(top) / 2.0);
        chart.draw_series([Text::new("infinite where no point is drawn", middle, style)])?;
    }
    let points = line(&mut chart, &soft, SOFT, Some("T²·KL, the soft term"))?;
    line(&mut chart, &plain, DIVERGENCE, Some("KL(teacher ‖ student)"))?;
    numbers(&mut chart, &points, SOFT, |index| free_side(&points, index))?;
    legend(&mut chart)
}

/// Where a number beside a point meets neither of the two lines that leave the point.
fn free_side(points: &[(f64, f64)], index: usize) -> (HPos, VPos) {
    let higher = |neighbour: Option<&(f64, f64)>| neighbour.is_some_and(|neighbour| neighbour.1 > points[index].1);
    match (higher(index.checked_sub(1).and_then(|left| points.get(left))), higher(points.get(index + 1))) {
        (true, true) => (HPos::Center, VPos::Top),
        (true, false) => (HPos::Left, VPos::Bottom),
        (false, true) => (HPos::Right, VPos::Bottom),
        (false, false) => (HPos::Center, VPos::Bottom),
    }
}

/// A line with a point at each value there is, and a name in the legend. Returns the points.
fn line<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    values: &[Option<f64>],
    colour: RGBColor,
    name: Option<&str>,
) -> Fallible<Vec<(f64, f64)>>
where
    DB::ErrorType: 'static,
{
    let points: Vec<(f64, f64)> =
        values.iter().enumerate().filter_map(|(index, value)| Some((index as f64, (*value)?))).collect();
    let series = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
    if let Some(name) = name {
        series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, colour.filled())))?;
    Ok(points)
}

/// A number beside each point, anchored by the corner or edge that `anchor` gives for it.
fn numbers<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    points: &[(f64, f64)],
    colour: RGBColor,
    anchor: impl Fn(usize) -> (HPos, VPos),
) -> Drawn
where
    DB::ErrorType: 'static,
{
    if points.len() > NUMBERED {
        return Ok(());
    }
    chart.draw_series(points.iter().enumerate().map(|(index, &point)| {
        let (horizontal, vertical) = anchor(index);
        let right = match horizontal {
            HPos::Left => 5,
            HPos::Center => 0,
            HPos::Right => -5,
        };
        let down = if matches!(vertical, VPos::Top) { 6 } else { -6 };
        EmptyElement::at(point) + Text::new(short(point.1), (right, down), text(colour, horizontal, vertical))
    }))?;
    Ok(())
}

/// A number in about three digits.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 0.001 => format!("{value:.0e}"),
        value if value < 0.1 => format!("{value:.3}"),
        value if value < 100.0 => format!("{value:.2}"),
        value => format!("{value:.0}"),
    }
}

/// A number on an axis: without the digits that binary fractions add.
fn tick(value: f64) -> String {
    let decimals = format!("{value:.6}");
    match decimals.trim_end_matches('0').trim_end_matches('.') {
        "0" if value != 0.0 => format!("{value:.0e}"),
        decimals => decimals.to_owned(),
    }
}

/// An empty chart over the temperatures, for values from 0 to `top`, with room for a legend above them.
fn chart<'a, DB: DrawingBackend>(
    area: &'a Area<DB>,
    caption: &str,
    levels: &[Level],
    top: f64,
) -> Fallible<Chart<'a, DB>>
where
    DB::ErrorType: 'static,
{
    let columns = -0.5..levels.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(caption, ("sans-serif", 16))
        .x_label_area_size(42)
        .y_label_area_size(48)
        .build_cartesian_2d(columns, 0.0..height(top))?;
    let name = |column: &f64| levels.get(column.round() as usize).map_or(String::new(), |l| l.temperature.to_string());
    let value = |value: &f64| if *value > top * 1.001 { String::new() } else { tick(*value) };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_desc("temperature T")
        .x_labels(levels.len() + 1)
        .x_label_formatter(&name)
        .y_label_formatter(&value)
        .draw()?;
    Ok(chart)
}

/// The upper end of an axis for values up to `top`; an axis needs some length even where all values are 0.
fn height(top: f64) -> f64 {
    if top > 0.0 { top * 1.3 } else { 1.0 }
}
