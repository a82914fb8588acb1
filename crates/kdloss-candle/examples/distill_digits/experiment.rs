//! The experiment: one teacher, and students that differ in nothing but what they are told.

use std::ops::Range;

use candle_core::{Error, Result, Tensor};
use indicatif::ProgressBar;
use kdloss_candle::{DistillationLoss, IgnoredRows};
use rayon::ThreadPoolBuilder;

use crate::data::{Digits, Splits};
use crate::model::Network;
use crate::training::{Deck, Lesson};

/// Labelled images of each digit that a student gets.
pub(crate) const LABELS_PER_DIGIT: usize = 5;
/// Steps between two points of a learning curve.
pub(crate) const STEPS_PER_POINT: usize = 50;
/// Steps of a student's training.
pub(crate) const STUDENT_STEPS: usize = 3000;
/// Steps of the teacher's training.
pub(crate) const TEACHER_STEPS: usize = 2000;
/// Units of the student's hidden layer.
pub(crate) const STUDENT_WIDTH: usize = 16;
/// Units of the teacher's hidden layer.
pub(crate) const TEACHER_WIDTH: usize = 256;
/// Seeds of the students that results are measured with.
pub(crate) const SEEDS: Range<u64> = 0..10;

const LABELLED_BATCH: usize = 25;
const UNLABELLED_BATCH: usize = 50;
/// Seeds of the students that settings are chosen with: other ones, so that no seed is measured that was selected.
const CHOOSING_SEEDS: Range<u64> = 100..105;

/// What a student is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The labels of its few images.
    Labels,
    /// Also the teacher's logits for them.
    Distilled,
    /// Also the teacher's logits for images without a label.
    DistilledUnlabelled,
}

impl Method {
    /// From the least told to the most.
    pub(crate) const ALL: [Self; 3] = [Self::Labels, Self::Distilled, Self::DistilledUnlabelled];

    /// Its name in table and plot.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Labels => "labels alone",
            Self::Distilled => "distilled, same images",
            Self::DistilledUnlabelled => "distilled, and unlabelled images",
        }
    }
}

/// What is chosen on the validation images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// AdamW's learning rate.
    pub learning_rate: f64,
    /// The loss's temperature.
    pub temperature: f64,
    /// The weight of the labels.
    pub alpha: f64,
}

/// Settings that were tried, with the mean validation accuracy they gave.
pub(crate) type Trials = Vec<(Settings, f64)>;

/// The images, the teacher, and its logits for the training images.
pub(crate) struct Experiment {
    /// Who sees which images.
    pub splits: Splits,
    /// The teacher.
    pub teacher: Network,
    teacher_logits: Tensor,
}

impl Experiment {
    /// Trains the teacher on all training images and their labels.
    pub(crate) fn new(splits: Splits, bar: &ProgressBar) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(0);
        let teacher = Network::new(TEACHER_WIDTH, &mut random)?;
        let lesson = Lesson {
            digits: &splits.train,
            teacher: None,
            labelled: Deck::new((0..splits.train.labels.len()).collect(), 50, random.fork()),
            unlabelled: Deck::new(Vec::new(), 0, random.fork()),
            loss: DistillationLoss::new().with_alpha(1.0),
            learning_rate: 0.001,
            steps: TEACHER_STEPS,
        };
        lesson.teach(&teacher, |_| {
            bar.inc(1);
            Ok(())
        })?;
        // Detached, since the teacher's weights are variables and the loss has a gradient for the student alone.
        let teacher_logits = teacher.logits(&splits.train.pixels)?.detach();
        Ok(Self { splits, teacher, teacher_logits })
    }

    /// Trains one student and returns its learning curve: the accuracy on `examined` after every 50 steps, and before
    /// the first. A seed decides on the labelled images, the first weights and the batches, whatever the method.
    fn student(&self, method: Method, settings: Settings, seed: u64, examined: &Digits) -> Result<Vec<f64>> {
        let train = &self.splits.train;
        let mut random = fastrand::Rng::with_seed(seed);
        let labelled = train.draw_per_class(LABELS_PER_DIGIT, &mut random);
        let unlabelled = (0..train.labels.len()).filter(|image| !labelled.contains(image)).collect();
        let student = Network::new(STUDENT_WIDTH, &mut random)?;
        let unlabelled_batch = if method == Method::DistilledUnlabelled { UNLABELLED_BATCH } else { 0 };
        let lesson = Lesson {
            digits: train,
            teacher: (method != Method::Labels).then_some(&self.teacher_logits),
            labelled: Deck::new(labelled, LABELLED_BATCH, random.fork()),
            unlabelled: Deck::new(unlabelled, unlabelled_batch, random.fork()),
            loss: DistillationLoss::new()
                .with_temperature(settings.temperature)
                .with_alpha(if method == Method::Labels { 1.0 } else { settings.alpha })
                .with_ignored_rows(IgnoredRows::SoftOnly),
            learning_rate: settings.learning_rate,
            steps: STUDENT_STEPS,
        };
        let mut curve = vec![student.accuracy(examined)?];
        lesson.teach(&student, |step| {
            if step % STEPS_PER_POINT == 0 {
                curve.push(student.accuracy(examined)?);
            }
            Ok(())
        })?;
        Ok(curve)
    }

    /// Chooses the learning rate for the student on labels alone, so that it is at its best; and with that learning
    /// rate the temperature and `alpha` for the distilled one.
    pub(crate) fn choose(&self, bar: &ProgressBar) -> Result<(Settings, Trials)> {
        let rates = [0.001, 0.003, 0.01].map(|learning_rate| Settings { learning_rate, temperature: 1.0, alpha: 1.0 });
        let rate = best(&self.try_all(Method::Labels, &rates, bar)?);
        let weights = [0.1, 0.5];
        let grid: Vec<Settings> = [1.0, 2.0, 4.0, 10.0, 20.0]
            .into_iter()
            .flat_map(|temperature| weights.map(|alpha| Settings { temperature, alpha, ..rate }))
            .collect();
        let trials = self.try_all(Method::Distilled, &grid, bar)?;
        Ok((best(&trials), trials))
    }

    /// Number of trainings that [`Experiment::choose`] reports to its progress bar.
    pub(crate) const CHOOSING_RUNS: u64 = (3 + 5 * 2) * (CHOOSING_SEEDS.end - CHOOSING_SEEDS.start);

    fn try_all(&self, method: Method, all: &[Settings], bar: &ProgressBar) -> Result<Trials> {
        let try_one = |&settings: &Settings| {
            let curves = self.students(method, settings, CHOOSING_SEEDS, &self.splits.validation, bar)?;
            let total: f64 = curves.iter().filter_map(|curve| curve.last()).sum();
            Ok((settings, total / curves.len() as f64))
        };
        all.iter().map(try_one).collect()
    }

    /// The learning curves on the test images, one per seed.
    pub(crate) fn measure(&self, method: Method, settings: Settings, bar: &ProgressBar) -> Result<Vec<Vec<f64>>> {
        self.students(method, settings, SEEDS, &self.splits.test, bar)
    }

    /// Trains a student per seed, each on a thread of its own.
    fn students(
        &self,
        method: Method,
        settings: Settings,
        seeds: Range<u64>,
        examined: &Digits,
        bar: &ProgressBar,
    ) -> Result<Vec<Vec<f64>>> {
        let run = move |seed| {
            // The trainings keep the cores busy; sharing work as small as one step's would only take longer.
            let _pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().map_err(Error::wrap)?;
            let curve = self.student(method, settings, seed, examined);
            bar.inc(1);
            curve
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = seeds.map(|seed| scope.spawn(move || run(seed))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| Error::msg("a training stopped"))?).collect()
        })
    }
}

/// The trial of the highest accuracy, the first of them.
fn best(trials: &[(Settings, f64)]) -> Settings {
    trials.iter().fold(trials[0], |best, &trial| if trial.1 > best.1 { trial } else { best }).0
}
