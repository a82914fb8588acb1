//! One problem on the GPU: as many sets of logits as are together larger than its second-level cache, used in turn, so that
//! no run finds there what the one before has left.

use std::sync::Arc;

use kdloss::cuda::raw::{Batch, Labels, Matrix};
use kdloss::cuda::{Kernels, Workspace};
use kdloss::external::cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE;
use kdloss::external::cudarc::driver::{CudaSlice, CudaStream};
use kdloss::{DType, DistillationLoss, Target};

pub const TEMPERATURE: f64 = 2.0;
pub const ALPHA: f64 = 0.5;

/// How many times the cache the sets are.
const CACHES: usize = 4;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Student, teacher and room for the gradient: bytes of any of the storage types.
pub struct Set {
    pub student: CudaSlice<u8>,
    pub teacher: CudaSlice<u8>,
    pub gradient: CudaSlice<u8>,
}

pub struct Problem {
    pub stream: Arc<CudaStream>,
    pub rows: usize,
    pub vocab: usize,
    pub dtype: DType,
    pub sets: Vec<Set>,
    pub labels: CudaSlice<i64>,
}

impl Problem {
    pub fn new(stream: &Arc<CudaStream>, rows: usize, vocab: usize, dtype: DType) -> Result<Self> {
        let cache = stream.context().attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?.max(0) as usize;
        let mut problem = Self {
            stream: Arc::clone(stream),
            rows,
            vocab,
            dtype,
            sets: Vec::new(),
            labels: stream.clone_htod(&(0..rows as i64).map(|row| row % vocab as i64).collect::<Vec<_>>())?,
        };
        let count = (CACHES * cache).div_ceil(problem.ideal_bytes()).clamp(1, 16);
        for seed in 0..count as u64 {
            problem.sets.push(problem.set(seed)?);
        }
        stream.synchronize()?;
        Ok(problem)
    }

    fn set(&self, seed: u64) -> Result<Set> {
        let bytes = self.rows * self.stride() * self.dtype.size();
        Ok(Set {
            student: self.stream.clone_htod(&self.logits(2 * seed))?,
            teacher: self.stream.clone_htod(&self.logits(2 * seed + 1))?,
            gradient: self.stream.alloc_zeros(bytes)?,
        })
    }

    /// Numbers between −6 and 6 without a pattern.
    fn logits(&self, seed: u64) -> Vec<u8> {
        let elements = self.rows * self.stride();
        let mut random = fastrand::Rng::with_seed(seed);
        let values = (0..elements).map(|_| random.f32() * 12.0 - 6.0);
        match self.dtype {
            DType::F32 => values.flat_map(f32::to_le_bytes).collect(),
            _ => values.flat_map(|value| half::bf16::from_f32(value).to_le_bytes()).collect(),
        }
    }

    /// Elements between the starts of two rows: a multiple of eight, so that every row is accessed in vectors.
    pub fn stride(&self) -> usize {
        self.vocab.next_multiple_of(8)
    }

    /// Bytes that the loss and its gradient have to move: two matrices read, one written.
    pub fn ideal_bytes(&self) -> usize {
        3 * self.rows * self.vocab * self.dtype.size()
    }

    pub fn loss() -> DistillationLoss {
        DistillationLoss::new().with_temperature(TEMPERATURE).with_alpha(ALPHA)
    }

    /// Launches the library's kernel on a set.
    pub fn launch(&self, kernels: &Kernels, workspace: &mut Workspace, set: usize) -> Result<()> {
        use kdloss::external::cudarc::driver::DevicePtr;
        let set = &self.sets[set];
        let matrix = |buffer: &CudaSlice<u8>| {
            let (address, _guard) = buffer.device_ptr(&self.stream);
            Matrix::new(address, self.rows * self.stride(), self.dtype, self.rows, self.vocab)
                .with_row_stride(self.stride())
        };
        let labels = Labels::i64(self.labels.device_ptr(&self.stream).0, self.labels.len());
        let batch = Batch::new(matrix(&set.student)).with_teacher(matrix(&set.teacher)).with_labels(labels);
        // SAFETY: the slices are of this context and as long as they say; one stream uses them, and nothing reads the
        // gradient meanwhile.
        unsafe {
            kernels.launch_raw(&self.stream, workspace, &Self::loss(), &batch, Target::Separate(matrix(&set.gradient)))
        }?;
        Ok(())
    }
}
