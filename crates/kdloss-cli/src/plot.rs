//! Pictures: PNG or SVG files, by their extension.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::register_font;

use crate::chart::{Area, Drawn, Fallible};
use crate::failure::{Failure, Result};
use crate::output_file::OutputFile;

/// The project's own font, so that no system font is needed.
static FONT: &[u8] = include_bytes!("../assets/fonts/DejaVuSans-subset.ttf");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Png,
    Svg,
}

/// What can be drawn, whatever the format.
pub(crate) trait Drawing {
    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn
    where
        DB::ErrorType: 'static;
}

/// A picture to draw, in a file that can be written.
pub(crate) struct Picture {
    file: OutputFile,
    format: Format,
}

impl Picture {
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

    /// Draws on white, so many pixels wide and high.
    pub(crate) fn draw(self, size: (u32, u32), drawing: &impl Drawing) -> Result<()> {
        register_font("sans-serif", FontStyle::Normal, FONT)
            .map_err(|_| Failure::new("the built-in font cannot be read: build kdloss again"))?;
        let picture = match self.format {
            Format::Png => png(size, drawing),
            Format::Svg => svg(size, drawing),
        };
        let picture = picture.map_err(|error| Failure::new(format!("cannot draw the plot: {error}")))?;
        let Self { mut file, .. } = self;
        file.write(&picture)?;
        file.finish()
    }
}

fn png((width, height): (u32, u32), drawing: &impl Drawing) -> Fallible<Vec<u8>> {
    let mut pixels = vec![0; width as usize * height as usize * 3];
    on_white(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), drawing)?;
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(picture)
}

fn svg(size: (u32, u32), drawing: &impl Drawing) -> Fallible<Vec<u8>> {
    let mut picture = String::new();
    on_white(&SVGBackend::with_string(&mut picture, size).into_drawing_area(), drawing)?;
    Ok(picture.into_bytes())
}

fn on_white<DB: DrawingBackend>(root: &Area<DB>, drawing: &impl Drawing) -> Drawn
where
    DB::ErrorType: 'static,
{
    root.fill(&WHITE)?;
    drawing.draw(root)?;
    root.present()?;
    Ok(())
}
