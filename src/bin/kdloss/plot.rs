//! The picture of `kdloss temperature`: a PNG or SVG file with its panels side by side.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use super::failure::{Failure, Result};
use super::output_file::OutputFile;
use super::panels;
use super::temperature::Survey;

/// The project's own font, so that no system font is needed.
static FONT: &[u8] = include_bytes!("../../../assets/fonts/DejaVuSans-subset.ttf");

const PANEL_SIZE: (u32, u32) = (480, 400);
const TITLE_HEIGHT: u32 = 40;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Svg,
}

/// A plot to draw, in a file that can be written.
pub(crate) struct Plot {
    file: OutputFile,
    format: Format,
}

impl Plot {
    /// Checks, before any work is done, that the file can be written.
    pub(crate) fn create(path: &Path, inputs: &[&Path]) -> Result<Self> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let format = match extension.as_deref() {
            Some("png") => Format::Png,
            Some("svg") => Format::Svg,
            _ => return Err(Failure::new(format!("--plot {}: the name must end in .png or .svg", path.display()))),
        };
        Ok(Self { file: OutputFile::create(path, inputs)?, format })
    }

    pub(crate) fn draw(self, survey: &Survey) -> Result<()> {
        register_font("sans-serif", FontStyle::Normal, FONT)
            .map_err(|_| Failure::new("the built-in font cannot be read: build kdloss again"))?;
        let path = self.file.temporary_path();
        let panels = if survey.levels.iter().any(|level| level.soft.is_some()) { 3 } else { 2 };
        let size = (PANEL_SIZE.0 * panels, PANEL_SIZE.1 + TITLE_HEIGHT);
        let drawn = match self.format {
            Format::Png => draw(&BitMapBackend::new(path, size).into_drawing_area(), survey, panels),
            Format::Svg => draw(&SVGBackend::new(path, size).into_drawing_area(), survey, panels),
        };
        drawn.map_err(|error| Failure::new(format!("cannot draw the plot: {error}")))?;
        self.file.finish()
    }
}

fn draw<DB: DrawingBackend>(root: &DrawingArea<DB, Shift>, survey: &Survey, count: u32) -> panels::Drawn
where
    DB::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    let counted = survey.rows - survey.left_out_rows;
    let title = format!("What temperature does to the teacher: mean over {counted} rows, {} classes", survey.vocab);
    let body = root.margin(8, 0, 0, 0).titled(&title, ("sans-serif", 20))?;
    let areas = body.split_evenly((1, count as usize));
    for (index, area) in areas.iter().enumerate() {
        match index {
            0 => panels::mass(area, &survey.levels)?,
            1 => panels::entropy(area, &survey.levels, survey.vocab)?,
            _ => panels::divergence(area, &survey.levels)?,
        }
    }
    root.present()?;
    Ok(())
}
