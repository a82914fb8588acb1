//! Training: batches are dealt, the loss is `kdloss`'s, the optimiser is candle's AdamW.

use candle_core::{Device, Result, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use kdloss_candle::{DistillationLoss, distillation_loss};

use crate::data::{Digits, UNLABELLED, rows};
use crate::model::Network;

/// Images dealt out batch by batch like cards, shuffled anew when too few are left.
pub(crate) struct Deck {
    images: Vec<usize>,
    batch: usize,
    dealt: usize,
    random: fastrand::Rng,
}

impl Deck {
    /// A deck that deals `batch` images at a time; with a batch of 0, none.
    pub(crate) fn new(images: Vec<usize>, batch: usize, random: fastrand::Rng) -> Self {
        let batch = batch.min(images.len());
        Self { dealt: images.len(), images, batch, random }
    }

    fn deal(&mut self) -> &[usize] {
        if self.dealt + self.batch > self.images.len() {
            self.random.shuffle(&mut self.images);
            self.dealt = 0;
        }
        self.dealt += self.batch;
        &self.images[self.dealt - self.batch..self.dealt]
    }
}

/// What a network is taught, and how.
pub(crate) struct Lesson<'a> {
    /// The images that the decks deal.
    pub digits: &'a Digits,
    /// The teacher's logits for all of them, unless labels are everything.
    pub teacher: Option<&'a Tensor>,
    /// Images shown with their labels.
    pub labelled: Deck,
    /// Images shown without: the teacher's opinion is all there is about them.
    pub unlabelled: Deck,
    /// The loss.
    pub loss: DistillationLoss,
    /// AdamW's learning rate.
    pub learning_rate: f64,
    /// Batches to learn from.
    pub steps: usize,
}

impl Lesson<'_> {
    /// Trains a network, and shows it to `after_step` with the number of steps done.
    pub(crate) fn teach(mut self, network: &Network, mut after_step: impl FnMut(usize) -> Result<()>) -> Result<()> {
        let settings = ParamsAdamW { lr: self.learning_rate, ..ParamsAdamW::default() };
        let mut optimizer = AdamW::new(network.variables.clone(), settings)?;
        for step in 1..=self.steps {
            let (images, labels) = self.batch();
            let logits = network.logits(&rows(&self.digits.pixels, &images)?)?;
            let teacher = self.teacher.map(|teacher| rows(teacher, &images)).transpose()?;
            let labels = Tensor::new(labels, &Device::Cpu)?;
            let loss = distillation_loss(&logits, teacher.as_ref(), &labels, &self.loss)?;
            optimizer.backward_step(&loss)?;
            after_step(step)?;
        }
        Ok(())
    }

    fn batch(&mut self) -> (Vec<usize>, Vec<i64>) {
        let mut images = self.labelled.deal().to_vec();
        let mut labels: Vec<i64> = images.iter().map(|&image| self.digits.labels[image]).collect();
        images.extend(self.unlabelled.deal());
        labels.resize(images.len(), UNLABELLED);
        (images, labels)
    }
}
