//! What the program's charts have in common: their types, and how text and legends look.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(crate) type Fallible<T> = std::result::Result<T, Box<dyn std::error::Error>>;
pub(crate) type Drawn = Fallible<()>;

pub(crate) type Area<DB> = DrawingArea<DB, Shift>;
pub(crate) type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The names of what is drawn.
pub(crate) fn legend<'a, DB>(chart: &mut Chart<'a, DB>) -> Drawn
where
    DB: DrawingBackend + 'a,
    DB::ErrorType: 'static,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .legend_area_size(22)
        .label_font(("sans-serif", 13))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}

/// Small text, anchored by a corner, an edge or its middle.
pub(crate) fn text(colour: impl Color, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    ("sans-serif", 13).into_font().color(&colour).pos(Pos::new(horizontal, vertical))
}
