//! The picture of a survey: its panels side by side, under a title.

use plotters::prelude::DrawingBackend;

use crate::chart::{Area, Drawn};
use crate::failure::Result;
use crate::plot::{Drawing, Picture};

use super::panels;
use super::survey::Survey;

/// Of a panel, and of the title above all.
const PANEL_SIZE: (u32, u32) = (480, 400);
const TITLE_HEIGHT: u32 = 40;

pub(crate) fn draw(picture: Picture, survey: &Survey) -> Result<()> {
    picture.draw((PANEL_SIZE.0 * survey.panels(), PANEL_SIZE.1 + TITLE_HEIGHT), survey)
}

impl Drawing for Survey {
    fn draw<DB: DrawingBackend>(&self, root: &Area<DB>) -> Drawn
    where
        DB::ErrorType: 'static,
    {
        let counted = self.counted_rows();
        let title = format!("What temperature does to the teacher: mean over {counted} rows, {} classes", self.vocab);
        let body = root.margin(8, 0, 0, 0).titled(&title, ("sans-serif", 20))?;
        let areas = body.split_evenly((1, self.panels() as usize));
        for (index, area) in areas.iter().enumerate() {
            match index {
                0 => panels::mass(area, &self.levels)?,
                1 => panels::entropy(area, &self.levels, self.vocab)?,
                _ => panels::divergence(area, &self.levels)?,
            }
        }
        Ok(())
    }
}

impl Survey {
    /// The last panel is about the student.
    fn panels(&self) -> u32 {
        if self.levels.iter().any(|level| level.soft.is_some()) { 3 } else { 2 }
    }
}
