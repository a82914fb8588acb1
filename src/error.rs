//! What can be wrong with a call, each with the offending values and the remedy.

use crate::elements::DType;

/// Result of the crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a loss could not be computed.
///
/// Every check of a call's arguments runs before anything is written: after such an error the gradient buffer is as it was.
/// What a device finds (labels that are no class, its own loss) is told when the result is read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The temperature lies outside [`TEMPERATURES`](crate::DistillationLoss::TEMPERATURES).
    #[error(
        "temperature {temperature} lies outside {}..={}, where the loss keeps its digits: \
         2 to 10 is usual, 4 is a good start, and far above 20 hardly anything changes",
        crate::DistillationLoss::TEMPERATURES.start(),
        crate::DistillationLoss::TEMPERATURES.end()
    )]
    InvalidTemperature {
        /// The temperature given.
        temperature: f64,
    },

    /// The weight of the hard term lies outside `0..=1`.
    #[error("alpha {alpha} lies outside 0..=1: it is the weight of the hard (cross-entropy) term")]
    InvalidAlpha {
        /// The weight given.
        alpha: f64,
    },

    /// The denominator of [`Reduction::DividedBy`](crate::Reduction::DividedBy) is not a finite positive number.
    #[error("denominator {denominator} cannot be used: it must be finite and greater than 0")]
    InvalidDenominator {
        /// The denominator given.
        denominator: f64,
    },

    /// The factor of the gradient is not finite in `f32`.
    #[error("grad_scale {grad_scale} cannot be used: it must be a finite f32 number")]
    InvalidGradScale {
        /// The factor given.
        grad_scale: f64,
    },

    /// The soft term is wanted (`alpha < 1`) but the batch holds no teacher logits.
    #[error(
        "alpha is {alpha}, so the soft term needs teacher logits, but the batch has none: add them, or set alpha to 1"
    )]
    MissingTeacher {
        /// The weight of the hard term.
        alpha: f64,
    },

    /// The hard term is wanted (`alpha > 0`) but the batch holds no labels.
    #[error("alpha is {alpha}, so the hard term needs labels, but the batch has none: add them, or set alpha to 0")]
    MissingLabels {
        /// The weight of the hard term.
        alpha: f64,
    },

    /// The batch has no classes.
    #[error("the vocabulary is empty: logits need at least one column")]
    EmptyVocab,

    /// The vocabulary is wider than a matrix.
    #[error("vocabulary {vocab} is wider than the {cols} columns of the {matrix} matrix")]
    VocabTooWide {
        /// Which matrix: `student`, `teacher` or `gradient`.
        matrix: &'static str,
        /// The vocabulary asked for.
        vocab: usize,
        /// The columns the matrix has.
        cols: usize,
    },

    /// The row stride of a matrix is smaller than its width.
    #[error("the {matrix} matrix has row stride {row_stride}, less than its {cols} columns: rows would overlap")]
    RowStrideTooShort {
        /// Which matrix: `student`, `teacher` or `gradient`.
        matrix: &'static str,
        /// Elements between the starts of two rows.
        row_stride: usize,
        /// Elements of a row.
        cols: usize,
    },

    /// A buffer ends before its last row does.
    #[error(
        "the {matrix} buffer holds {len} elements, but {rows} rows of {cols} columns at row stride {row_stride} need {needed}"
    )]
    BufferTooShort {
        /// Which matrix: `student`, `teacher` or `gradient`.
        matrix: &'static str,
        /// Elements in the buffer.
        len: usize,
        /// Elements needed; `usize::MAX` if the number does not fit.
        needed: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// Elements between the starts of two rows.
        row_stride: usize,
    },

    /// Two parts of the batch disagree about the number of rows.
    #[error("the student has {expected} rows but the {part} has {found}")]
    RowCountMismatch {
        /// Which part: `teacher`, `labels`, `gradient` or `row_grad_scale`.
        part: &'static str,
        /// Rows of the student.
        expected: usize,
        /// Rows of that part.
        found: usize,
    },

    /// A label is neither a class nor the ignored value.
    #[error("row {row} has label {label}, which is neither in 0..{vocab} nor the ignore_index {ignore_index}")]
    LabelOutOfRange {
        /// The row, counted from 0.
        row: usize,
        /// Its label.
        label: i64,
        /// The vocabulary.
        vocab: usize,
        /// The label that marks a row without one.
        ignore_index: i64,
    },

    /// The vector instructions that were asked for do not exist, or the processor lacks them.
    #[error(
        "vector instructions {wanted:?} cannot be used: this processor has {available} (KDLOSS_CPU, or cpu::Options)"
    )]
    Instructions {
        /// What was asked for.
        wanted: String,
        /// Every set that can be used.
        available: String,
    },

    /// No device of the kind wanted is there.
    #[error("no device: looked for {wanted}, found {found}")]
    NoDevice {
        /// What was looked for.
        wanted: String,
        /// What is there instead, and what to do.
        found: String,
    },

    /// The device was lost, or destroyed.
    #[error("the device is lost ({reason}): create it and everything on it again")]
    DeviceLost {
        /// What the device said.
        reason: String,
    },

    /// The device refused an operation.
    #[error("the device refused to {operation}: {message}")]
    Device {
        /// What was to be done.
        operation: &'static str,
        /// What the device said.
        message: String,
    },

    /// A workgroup size that a device does not take.
    #[error("workgroup size {size} cannot be used: this device takes powers of two up to {largest}")]
    WorkgroupSize {
        /// The size given.
        size: u32,
        /// The largest that the device takes.
        largest: u32,
    },

    /// A device's buffer lacks a usage flag.
    #[error("the {buffer} buffer was created without BufferUsages::{missing}: add it to the buffer's usage")]
    BufferUsage {
        /// Which buffer: `student`, `teacher`, `gradient`, `labels` or `row_grad_scale`.
        buffer: &'static str,
        /// The flag.
        missing: &'static str,
    },

    /// Data in a device's buffer start between two elements.
    #[error("the {buffer} starts at byte {offset} of its buffer: it must be a multiple of {alignment}")]
    BufferOffset {
        /// Which buffer.
        buffer: &'static str,
        /// Where it starts.
        offset: u64,
        /// What the offset must be a multiple of.
        alignment: u64,
    },

    /// A device's buffer ends within a 32-bit word, which a shader can only access as a whole.
    #[error("the {buffer} buffer has {size} bytes and is used to its end: make its size a multiple of 4")]
    BufferNotWhole {
        /// Which buffer.
        buffer: &'static str,
        /// Its size in bytes.
        size: u64,
    },

    /// A buffer is written and also used otherwise in the same call.
    #[error("the {written} shares its buffer with the {other}: give it a buffer of its own")]
    BufferAliased {
        /// Which buffer is written: `gradient`, or the `student` that the gradient overwrites.
        written: &'static str,
        /// What else lies in it.
        other: &'static str,
    },

    /// A device's buffer cannot be bound. (wgpu cannot tell a buffer of another `wgpu::Instance` from its own.)
    #[error(
        "the {buffer} buffer cannot be used ({message}): it must live on the device of these kernels, and not be destroyed"
    )]
    BufferRefused {
        /// Which buffer.
        buffer: &'static str,
        /// What the device said.
        message: String,
    },

    /// Two rows of a 16-bit matrix that is written share a 32-bit word.
    #[error(
        "the {matrix} matrix is written in {dtype} at the odd row stride {row_stride}, where two rows share a 32-bit word: \
         make the row stride even, or use f32"
    )]
    OddRowStride {
        /// Which matrix: `gradient`, or the `student` that the gradient overwrites.
        matrix: &'static str,
        /// Its storage type.
        dtype: DType,
        /// Elements between the starts of two rows.
        row_stride: usize,
    },

    /// The device did not visit all of a row, or not all rows: what it wrote for them is wrong.
    #[error(
        "row {row} of {vocab} classes was not visited whole by its {lanes} lanes: the driver ended a loop early, or lost what \
         a lane held; its loss and gradient are wrong: use more lanes (wgpu::Options::with_workgroup_size), or none by \
         subgroups (wgpu::Options::without_subgroups), fewer rows at a time, or kdloss::cpu"
    )]
    RowIncomplete {
        /// The row, counted from 0.
        row: usize,
        /// The vocabulary.
        vocab: usize,
        /// Lanes of the workgroup that had the row.
        lanes: u32,
    },

    /// A row does not fit a binding of the device.
    #[error(
        "a row of the {matrix} matrix takes {bytes} bytes, more than the {limit} that this device can bind: \
         request the device with a larger max_storage_buffer_binding_size"
    )]
    RowTooWide {
        /// Which matrix.
        matrix: &'static str,
        /// Bytes of a row.
        bytes: u64,
        /// The most that can be bound.
        limit: u64,
    },

    /// A matrix has more columns than the kernels can count.
    #[error(
        "the {matrix} matrix has {cols} columns, more than the {limit} that these kernels can count: split its vocabulary"
    )]
    TooManyColumns {
        /// Which matrix.
        matrix: &'static str,
        /// Its columns.
        cols: usize,
        /// The most.
        limit: usize,
    },

    /// A batch has more rows than the device can keep losses of.
    #[error(
        "the batch has {rows} rows, more than the {limit} that this device can hold the losses of: split the batch"
    )]
    TooManyRows {
        /// Rows of the batch.
        rows: usize,
        /// The most.
        limit: u64,
    },

    /// A buffer, a stream or a workspace belongs to another CUDA context than the kernels.
    #[error("the {part} belongs to another CUDA context than the kernels: create both from the same CudaContext")]
    OtherContext {
        /// Which part: `stream`, `workspace`, `student`, `teacher`, `gradient`, `labels`, `row_grad_scale` or `grad_scale`.
        part: &'static str,
    },

    /// A workspace belongs to another CUDA stream than the call.
    #[error("the workspace belongs to another stream than the call: create one for each stream with Workspace::new")]
    OtherStream,

    /// A CUDA stream that is being captured into a graph cannot do what a first call needs.
    #[error(
        "cannot {operation} while the stream is captured into a graph: make the same call once before the capture, \
         with a workspace of as many rows"
    )]
    Capturing {
        /// What the call needs: to load a kernel, or to allocate.
        operation: &'static str,
    },

    /// The device's memory does not suffice.
    #[error("cannot {operation}: the device is out of memory: free some, or split the batch")]
    OutOfMemory {
        /// What was to be done.
        operation: &'static str,
    },

    /// NVIDIA's driver is too old.
    #[error("NVIDIA's driver, for CUDA {found}, is too old: {reason}; update the driver")]
    OldDriver {
        /// The newest version of CUDA that it runs.
        found: String,
        /// What it lacks.
        reason: String,
    },

    /// A result was asked for before anything was computed.
    #[error("there is no result yet: nothing has been computed in this workspace")]
    NothingComputed,

    /// A result was asked for whose commands have not run.
    #[error("there is no result yet: submit the command encoder to the device's queue before reading")]
    NotSubmitted,

    /// CUDA's compiler is not to be found.
    #[error(
        "CUDA's run-time compiler is missing: looked for {tried}; install the CUDA toolkit, or set KDLOSS_NVRTC to the \
         full path of libnvrtc"
    )]
    NoCompiler {
        /// Every name and path that was tried.
        tried: String,
    },

    /// CUDA's compiler refused a kernel.
    #[error("the kernel does not compile for {architecture}: {log}")]
    CompileFailed {
        /// The architecture, such as `sm_90`.
        architecture: String,
        /// What the compiler said.
        log: String,
    },
}
