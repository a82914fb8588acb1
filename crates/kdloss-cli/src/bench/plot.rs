//! The picture of `kdloss bench`: for each storage type, how many times the floor the loss takes at each vocabulary.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use crate::args::BenchArgs;
use crate::chart::{Area, Drawn, legend, text};
use crate::failure::Result;
use crate::plot::{Drawing, Picture};

use super::report::Line;

const SIZE: (u32, u32) = (880, 460);
const COLOURS: [RGBColor; 3] = [RGBColor(8, 64, 129), RGBColor(67, 147, 195), RGBColor(178, 24, 43)];
const FLOOR: RGBColor = RGBColor(110, 110, 110);

pub(super) fn draw(picture: Picture, lines: &[Line], args: &BenchArgs, device: &str) -> Result<()> {
    picture.draw(SIZE, &Bars { lines, args, device })
}

struct Bars<'a> {
    lines: &'a [Line],
    args: &'a BenchArgs,
    device: &'a str,
}

impl Drawing for Bars<'_> {
    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn
    where
        DB::ErrorType: 'static,
    {
        let what = if self.args.forward_only { "forward" } else { "forward + backward" };
        let backend = self.lines.first().map_or("", |line| line.backend);
        let title = format!("kdloss {backend}, {what}, {} rows, T = {}", self.args.rows, self.args.temperature);
        let body = root.margin(8, 0, 0, 0).titled(&title, ("sans-serif", 20))?;
        let (body, footer) = body.split_vertically(SIZE.1 - 68);
        let place = text(BLACK.mix(0.7), HPos::Center, VPos::Top);
        footer.draw(&Text::new(self.device.to_owned(), (SIZE.0 as i32 / 2, 0), place))?;

        let vocabularies = &self.args.vocab;
        let top = self.lines.iter().map(|line| line.ratio().high).fold(1.0, f64::max) * 1.3;
        let columns = -0.5..vocabularies.len() as f64 - 0.5;
        let mut chart = ChartBuilder::on(&body)
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(60)
            .build_cartesian_2d(columns, 0.0..top)?;
        let is_centre = |column: f64| (column - column.round()).abs() < 1e-6;
        let name = |column: &f64| {
            let vocabulary = vocabularies.get(column.round() as usize).filter(|_| is_centre(*column));
            vocabulary.map_or(String::new(), usize::to_string)
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .x_desc("vocabulary")
            .y_desc("time / floor (lower is better)")
            .x_labels(vocabularies.len() + 1)
            .x_label_formatter(&name)
            .draw()?;
        let dtypes = self.args.dtypes();
        let width = 0.8 / dtypes.len() as f64;
        for (index, dtype) in dtypes.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let left = |line: &Line| {
                let column = vocabularies.iter().position(|vocab| *vocab == line.vocab).unwrap_or(0);
                column as f64 - 0.4 + index as f64 * width
            };
            let lines = || self.lines.iter().filter(|line| line.dtype == *dtype);
            chart
                .draw_series(lines().map(|line| {
                    let corners = [(left(line), 0.0), (left(line) + 0.94 * width, line.ratio().median)];
                    Rectangle::new(corners, colour.filled())
                }))?
                .label(dtype.to_string())
                .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 14, y + 6)], colour.filled()));
            chart.draw_series(lines().flat_map(|line| {
                let (centre, ratio) = (left(line) + 0.47 * width, line.ratio().median);
                let notes = [format!("{:.1} ms", 1e3 * line.loss().median), format!("{ratio:.2}×")];
                notes.into_iter().enumerate().map(move |(row, note)| {
                    let style = text(BLACK.mix(1.0), HPos::Center, VPos::Bottom);
                    EmptyElement::at((centre, ratio)) + Text::new(note, (0, -4 - 15 * row as i32), style)
                })
            }))?;
        }
        let ends = [(-0.5, 1.0), (vocabularies.len() as f64 - 0.5, 1.0)];
        chart
            .draw_series(DashedLineSeries::new(ends, 6, 4, FLOOR.stroke_width(2)))?
            .label("the least that memory takes")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 14, y)], FLOOR.stroke_width(2)));
        legend(&mut chart)
    }
}
