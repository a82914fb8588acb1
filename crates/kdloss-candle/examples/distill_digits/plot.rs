//! The picture: learning curves on the left, one image's soft targets on the right.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

use crate::data::CLASSES;
use crate::experiment::{LABELS_PER_DIGIT, Method, SEEDS, STEPS_PER_POINT, STUDENT_STEPS};
use crate::report::{Curves, Spread};
use crate::soft_targets::{SoftTargets, TEMPERATURES};

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn Error>>;

const FONT: &str = "DejaVu Sans";
const SIZE: (u32, u32) = (1600, 720);
/// Where the learning curves end and the soft targets begin.
const MIDDLE: u32 = 960;
/// Space above the charts, for their titles.
const TITLE_HEIGHT: u32 = 100;
/// Room beside the bars, for the image.
const IMAGE_WIDTH: u32 = 200;
/// The accuracies to show, in percent; the curves leave out the first steps, below.
const ACCURACIES: (f64, f64) = (50.0, 100.0);

// Of Okabe and Ito's palette, which colour-blind readers can tell apart; also by their lightness.
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const GREY: RGBColor = RGBColor(90, 90, 90);
const LIGHT_GREY: RGBColor = RGBColor(160, 160, 160);

/// Draws the picture into a PNG file.
pub(crate) fn draw(file: &Path, results: &[Curves], teacher: f64, targets: &SoftTargets) -> Drawn {
    register_font(FONT, FontStyle::Normal, include_bytes!("../../../kdloss-cli/assets/fonts/DejaVuSans-subset.ttf"))
        .map_err(|_| "the font cannot be read")?;
    let canvas = BitMapBackend::new(file, SIZE).into_drawing_area();
    canvas.fill(&WHITE)?;
    let (left, right) = canvas.split_horizontally(MIDDLE);
    let (left_title, curves) = left.split_vertically(TITLE_HEIGHT);
    let (right_title, targets_area) = right.split_vertically(TITLE_HEIGHT);
    let (image, bars) = targets_area.split_horizontally(IMAGE_WIDTH);

    let subtitle = format!("mean of {} seeds; bands: one standard deviation to either side", SEEDS.count());
    let labelled = format!("Test accuracy of a student with {LABELS_PER_DIGIT} labelled images per digit");
    draw_title(&left_title, &labelled, &subtitle)?;
    draw_curves(&curves, results, teacher)?;
    draw_title(
        &right_title,
        "The teacher's soft targets for one image",
        "probability of each digit, by temperature T",
    )?;
    draw_image(&image, targets)?;
    draw_bars(&bars, targets)?;
    canvas.present()?;
    Ok(())
}

fn draw_title(area: &Area<'_>, title: &str, subtitle: &str) -> Drawn {
    area.draw(&Text::new(title.to_owned(), (24, 18), (FONT, 28).into_font()))?;
    area.draw(&Text::new(subtitle.to_owned(), (24, 58), (FONT, 22).into_font().color(&GREY)))?;
    Ok(())
}

fn draw_curves(area: &Area<'_>, results: &[Curves], teacher: f64) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .margin_right(24)
        .margin_bottom(12)
        .x_label_area_size(62)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..STUDENT_STEPS as f64, ACCURACIES.0..ACCURACIES.1)?;
    chart
        .configure_mesh()
        .x_desc("training steps")
        .y_label_formatter(&|percent| format!("{percent:.0} %"))
        .x_label_formatter(&|step| format!("{step:.0}"))
        .label_style((FONT, 22))
        .axis_desc_style((FONT, 22))
        .x_labels(6)
        .y_labels(6)
        .light_line_style(TRANSPARENT)
        .draw()?;

    let teacher = 100.0 * teacher;
    chart
        .draw_series(DashedLineSeries::new(
            [(0.0, teacher), (STUDENT_STEPS as f64, teacher)],
            10,
            8,
            GREY.stroke_width(3),
        ))?
        .label(format!("the teacher: {teacher:.1} %"))
        .legend(|(x, y)| DashedPathElement::new([(x, y), (x + 38, y)], 10, 4, GREY.stroke_width(3)));
    // The legend lists what is highest first.
    for curves in results.iter().rev() {
        draw_method(&mut chart, curves)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 22))
        .legend_area_size(48)
        .margin(20)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

/// The mean as a line, the standard deviation as a band around it, in percent.
fn draw_method(chart: &mut Chart<'_, '_>, curves: &Curves) -> Drawn {
    let (floor, ceiling) = ACCURACIES;
    let color = color_of(curves.method);
    let points: Vec<(f64, Spread)> = (0..)
        .map(|point| (point * STEPS_PER_POINT) as f64)
        .zip(curves.over_seeds())
        .filter(|(_, spread)| 100.0 * spread.mean >= floor)
        .collect();
    let edge = |deviations: f64| {
        let accuracy = move |spread: Spread| 100.0 * (spread.mean + deviations * spread.deviation);
        points.iter().map(move |&(step, spread)| (step, accuracy(spread).clamp(floor, ceiling)))
    };
    let band: Vec<(f64, f64)> = edge(1.0).chain(edge(-1.0).rev()).collect();
    chart.draw_series([Polygon::new(band, color.mix(0.18))])?;
    let last = points.last().map_or_else(String::new, |(_, spread)| format!(": {spread} %"));
    chart
        .draw_series(LineSeries::new(edge(0.0), color.stroke_width(4)))?
        .label(format!("{}{last}", curves.method.name()))
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 38, y)], color.stroke_width(4)));
    Ok(())
}

fn color_of(method: Method) -> RGBColor {
    match method {
        Method::Labels => VERMILION,
        Method::Distilled => BLUE,
        Method::DistilledUnlabelled => GREEN,
    }
}

/// The image's pixels as squares, ink dark on paper.
fn draw_image(area: &Area<'_>, targets: &SoftTargets) -> Drawn {
    const SIDE: i32 = 20;
    let (left, top) = (24, 24);
    for (pixel, ink) in targets.pixels.iter().enumerate() {
        let (column, row) = ((pixel % 8) as i32, (pixel / 8) as i32);
        let corner = (left + column * SIDE, top + row * SIDE);
        let shade = (255.0 * (1.0 - ink)) as u8;
        let square = [corner, (corner.0 + SIDE, corner.1 + SIDE)];
        area.draw(&Rectangle::new(square, RGBColor(shade, shade, shade).filled()))?;
    }
    let (right, bottom) = (left + 8 * SIDE, top + 8 * SIDE);
    area.draw(&Rectangle::new([(left, top), (right, bottom)], GREY))?;
    let centred = (FONT, 22).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
    for (line, text) in [format!("labelled {}", targets.label), "(blue bars)".to_owned()].into_iter().enumerate() {
        area.draw(&Text::new(text, (left + 4 * SIDE, bottom + 12 + 28 * line as i32), centred.clone()))?;
    }
    Ok(())
}

/// One chart of bars per temperature, with the same scale.
fn draw_bars(area: &Area<'_>, targets: &SoftTargets) -> Drawn {
    let panels = area.margin(0, 12, 0, 24).split_evenly((TEMPERATURES.len(), 1));
    for (panel, (temperature, probabilities)) in panels.iter().zip(TEMPERATURES.iter().zip(&targets.probabilities)) {
        let mut chart = ChartBuilder::on(panel)
            .margin_top(10)
            .x_label_area_size(30)
            .y_label_area_size(56)
            .build_cartesian_2d((0..CLASSES as i32 - 1).into_segmented(), 0.0f32..1.0)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(CLASSES)
            .y_labels(3)
            .x_label_formatter(&|digit| match digit {
                SegmentValue::CenterOf(digit) => digit.to_string(),
                _ => String::new(),
            })
            .y_label_formatter(&|probability| format!("{probability:.1}"))
            .label_style((FONT, 20))
            .light_line_style(TRANSPARENT)
            .draw()?;
        chart.draw_series((0..).zip(probabilities).map(|(digit, &probability)| {
            let color = if i64::from(digit) == targets.label { BLUE } else { LIGHT_GREY };
            let corners = [(SegmentValue::Exact(digit), 0.0), (SegmentValue::Exact(digit + 1), probability)];
            let mut bar = Rectangle::new(corners, color.filled());
            bar.set_margin(0, 0, 6, 6);
            bar
        }))?;
        let (width, _) = panel.dim_in_pixel();
        let right = (FONT, 24).into_font().color(&BLACK).pos(Pos::new(HPos::Right, VPos::Top));
        panel.draw(&Text::new(format!("T = {temperature}"), (width as i32 - 12, 16), right))?;
    }
    Ok(())
}
