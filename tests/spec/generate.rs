//! Logits that look like a language model's, the same on every run.

/// A small generator of uniform numbers (SplitMix64, Steele, Lea and Flood 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Normal, by the method of Box and Muller.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Student rows, teacher rows and labels.
pub struct Rows {
    pub student: Vec<Vec<f32>>,
    pub teacher: Vec<Vec<f32>>,
    pub labels: Vec<i64>,
}

/// Rows whose logits spread by `spread`, the student's a noisy copy of the teacher's, so that some of the element
/// formula's branches are taken by each row. One row in five has no label.
pub fn rows(seed: u64, rows: usize, vocab: usize, spread: f64) -> Rows {
    let mut random = Random::new(seed ^ ((rows as u64) << 32) ^ vocab as u64);
    let teacher: Vec<Vec<f32>> =
        (0..rows).map(|_| (0..vocab).map(|_| (spread * random.normal()) as f32).collect()).collect();
    let noisy = |logit: &f32, random: &mut Random| (0.8 * f64::from(*logit) + 0.6 * spread * random.normal()) as f32;
    let student = teacher.iter().map(|row| row.iter().map(|logit| noisy(logit, &mut random)).collect()).collect();
    let labels = (0..rows).map(|row| if row % 5 == 4 { -100 } else { (random.next() % vocab as u64) as i64 }).collect();
    Rows { student, teacher, labels }
}
