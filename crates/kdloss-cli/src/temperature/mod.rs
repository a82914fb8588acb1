//! `kdloss temperature`: how soft the teacher becomes, and how far the student is from it, at each temperature.

mod panels;
mod plot;
mod report;
mod softness;
mod survey;

use std::io::Write;

use crate::args::TemperatureArgs;
use crate::doubts::Doubts;
use crate::failure::Result;
use crate::inputs::{Files, Wanted, paths};
use crate::logits::{LogitsTensor, vocab};
use crate::plot::Picture;
use survey::{Sources, soft_loss};

pub(crate) fn run(args: &TemperatureArgs, out: &mut dyn Write) -> Result<()> {
    let temperatures = ascending(&args.temperatures)?;
    let files = Files::open(&args.logits, None)?;
    let student = Wanted::student(&args.logits).find(false, &files.student_tensors()?)?;
    let student = student.map(|tensor| LogitsTensor::new(tensor, None)).transpose()?;
    let remedy = "name the teacher's logits with --teacher, and their file with --teacher-file";
    let teacher = Wanted::teacher(&args.logits, remedy).require(&files.teacher_tensors()?)?;
    let teacher = LogitsTensor::new(teacher, student.as_ref())?;
    let vocab = vocab(args.logits.vocab, &teacher, student.as_ref())?;
    let plot = args.plot.as_deref().map(|path| Picture::create(path, &paths(&args.logits, None))).transpose()?;

    let sources = Sources { teacher, student, vocab };
    sources.raise(&Doubts::new(args.logits.strict), args.logits.vocab.is_some())?;
    let survey = sources.survey(&temperatures, args.json)?;
    if let Some(plot) = plot {
        plot::draw(plot, &survey)?;
    }
    if args.json {
        writeln!(out, "{}", survey.as_json())?;
        return Ok(());
    }
    survey.write_table(out)?;
    if let Some(path) = &args.plot {
        writeln!(out, "plot written to {}", path.display())?;
    }
    Ok(())
}

/// The temperatures in order, each once, and each one that the loss accepts.
fn ascending(temperatures: &[f64]) -> Result<Vec<f64>> {
    for &temperature in temperatures {
        soft_loss(temperature).validate()?;
    }
    let mut temperatures = temperatures.to_vec();
    temperatures.sort_unstable_by(f64::total_cmp);
    temperatures.dedup();
    Ok(temperatures)
}
