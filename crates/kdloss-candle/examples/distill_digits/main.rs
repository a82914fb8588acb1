//! Distillation on real data: a small network learns handwritten digits, from few labels alone or from a teacher too.
//!
//! ```text
//! cargo run --release -p kdloss-candle --example distill_digits [-- PICTURE.png]
//! ```
//!
//! A teacher learns from 1000 labelled images. Then small students, all alike, get labels for 5 images of each digit:
//!
//! * on *labels alone*, the loss is cross-entropy (`alpha = 1`, no teacher);
//! * *distilled* on the same images, it is the mix of cross-entropy and the divergence from the teacher's soft targets,
//!   which tell how alike two digits look, where a label only tells which one it is;
//! * *distilled, and unlabelled images*: batches gain images whose label is −100, and with `IgnoredRows::SoftOnly` the
//!   teacher's opinion counts there too.
//!
//! For one seed the three share labelled images, first weights and labelled batches, so their difference is what the
//! loss makes. Learning rate, temperature and `alpha` are chosen on validation images with other seeds; the test images
//! are looked at once those are fixed, and had no part in fixing anything else (`data`). The spread is that of students:
//! there is one teacher, and one set of test images.
//!
//! `data` deals out the images, `model` is the network, `training` is where the loss is used, `experiment` compares,
//! `soft_targets`, `report` and `plot` show.

mod data;
mod experiment;
mod model;
mod plot;
mod report;
mod soft_targets;
mod training;

use std::error::Error;
use std::path::PathBuf;

use candle_core::Result as CandleResult;
use data::{CLASSES, PIXELS, Splits};
use experiment::{
    Experiment, LABELS_PER_DIGIT, Method, SEEDS, STUDENT_STEPS, STUDENT_WIDTH, TEACHER_STEPS, TEACHER_WIDTH,
};
use indicatif::{ProgressBar, ProgressStyle};
use report::Curves;
use soft_targets::SoftTargets;

fn main() -> Result<(), Box<dyn Error>> {
    let picture = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/distill_digits.png"), PathBuf::from);
    keep_products_on_one_core();
    let splits = Splits::load()?;
    introduce(&splits);

    let bar = progress_bar("training the teacher", TEACHER_STEPS as u64)?;
    let experiment = Experiment::new(splits, &bar)?;
    bar.finish_and_clear();

    let bar = progress_bar("choosing settings on validation images", Experiment::CHOOSING_RUNS)?;
    let (settings, trials) = experiment.choose(&bar)?;
    bar.finish_and_clear();
    println!("Validation accuracy of distilled students, by temperature and weight of the labels:");
    println!("{}", report::trial_table(&trials));
    let experiment::Settings { learning_rate, temperature, alpha } = settings;
    println!("Chosen: T = {temperature}, alpha = {alpha}; learning rate {learning_rate}, the best for labels alone.\n");

    let bar = progress_bar("training the students", 3 * SEEDS.count() as u64)?;
    let measure = |method| Ok(Curves { method, by_seed: experiment.measure(method, settings, &bar)? });
    let results = Method::ALL.into_iter().map(measure).collect::<CandleResult<Vec<Curves>>>()?;
    bar.finish_and_clear();

    let teacher_accuracy = experiment.teacher.accuracy(&experiment.splits.test)?;
    println!(
        "Test accuracy at the end, mean ± standard deviation over seeds (labelled images, first weights, batches):"
    );
    println!("{}", report::result_table(&results, teacher_accuracy));
    for curves in results.iter().filter(|curves| curves.method != Method::Labels) {
        println!("{}", report::sentence(&results, curves));
    }
    if let Some(folder) = picture.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let targets = SoftTargets::of_hesitation(&experiment.teacher, &experiment.splits.validation)?;
    plot::draw(&picture, &results, teacher_accuracy, &targets)?;
    println!("\nPicture: {}", picture.display());
    Ok(())
}

/// candle's matrix product asks how many cores it may use, every time: unless this variable is set it reads
/// `/proc/cpuinfo`, which takes longer than a product of this size, the more cores the longer.
fn keep_products_on_one_core() {
    // SAFETY: the program has no other thread yet that could read the environment meanwhile.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
}

fn introduce(splits: &Splits) {
    let [train, validation, test] = [&splits.train, &splits.validation, &splits.test].map(|digits| digits.labels.len());
    println!("Handwritten digits from few labels, with and without a teacher\n");
    println!("images   {train} to train on, {validation} to choose settings by, {test} to test on");
    println!("teacher  {PIXELS}-{TEACHER_WIDTH}-{CLASSES} units, all {train} training images with their labels");
    println!(
        "student  {PIXELS}-{STUDENT_WIDTH}-{CLASSES} units, {LABELS_PER_DIGIT} labelled images of each digit, \
         {STUDENT_STEPS} steps, {} seeds\n",
        SEEDS.count()
    );
}

fn progress_bar(task: &'static str, length: u64) -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{msg:40} {wide_bar} {pos}/{len}")?;
    Ok(ProgressBar::new(length).with_style(style).with_message(task))
}
