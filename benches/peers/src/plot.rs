//! The picture of a record: how long each contestant takes, on a scale of powers, a panel for each shape.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::record::{Sample, Spread, spreads};

/// The project's own font, so that no system font is needed.
static FONT: &[u8] = include_bytes!("../../../crates/kdloss-cli/assets/fonts/DejaVuSans-subset.ttf");

const PANEL: (u32, u32) = (430, 330);
const OURS: RGBColor = RGBColor(8, 64, 129);
const THEIRS: RGBColor = RGBColor(165, 165, 165);

pub(crate) fn draw(samples: &[Sample], picture: &Path) -> Result<()> {
    register_font("sans-serif", FontStyle::Normal, FONT).map_err(|_| "the font cannot be read")?;
    let spreads = spreads(samples);
    let mut shapes: Vec<&str> = spreads.iter().map(|spread| spread.shape.as_str()).collect();
    shapes.dedup();
    let root = BitMapBackend::new(picture, (PANEL.0 * shapes.len() as u32, PANEL.1 + 40)).into_drawing_area();
    root.fill(&WHITE)?;
    let title = "Loss and gradient, milliseconds (powers of ten; shorter is better)";
    let body = root.titled(title, ("sans-serif", 20))?;
    for (area, shape) in body.split_evenly((1, shapes.len())).iter().zip(&shapes) {
        let own: Vec<&Spread> = spreads.iter().filter(|spread| spread.shape == **shape).collect();
        let count = own.len() as f64;
        let most = own.iter().map(|spread| spread.high).fold(1.0, f64::max) * 4.0;
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .caption(shape, ("sans-serif", 16))
            .y_label_area_size(160)
            .x_label_area_size(26)
            .build_cartesian_2d((1.0..most).log_scale(), -0.5..count - 0.5)?;
        let name = |row: &f64| {
            let place = count - 1.0 - row;
            let is_bar = (place - place.round()).abs() < 1e-6;
            own.get(place.round() as usize).filter(|_| is_bar).map_or(String::new(), |spread| spread.contestant.clone())
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .y_labels(own.len() + 1)
            .y_label_formatter(&name)
            .label_style(("sans-serif", 13))
            .draw()?;
        chart.draw_series(own.iter().enumerate().map(|(index, spread)| {
            let (place, colour) =
                (count - 1.0 - index as f64, if spread.contestant == "kdloss" { OURS } else { THEIRS });
            Rectangle::new([(1.0, place - 0.36), (spread.median, place + 0.36)], colour.filled())
        }))?;
        let style = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
        chart.draw_series(own.iter().enumerate().map(|(index, spread)| {
            let place = (spread.median, count - 1.0 - index as f64);
            EmptyElement::at(place) + Text::new(format!("{:.1}", spread.median), (5, 0), style.clone())
        }))?;
    }
    root.present()?;
    Ok(())
}
