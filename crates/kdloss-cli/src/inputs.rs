//! From arguments to a batch: which tensor of which file is the student, the teacher, the labels.

use std::path::{Path, PathBuf};

use kdloss::{Batch, DistillationLoss};

use crate::args::{EvalArgs, LogitsArgs};
use crate::doubts::{self, Doubts};
use crate::failure::{Failure, Result};
use crate::labels::{LabelsRows, LabelsTensor};
use crate::logits::{LogitsRows, LogitsTensor, vocab};
use crate::tensors::{Tensor, TensorFile, Tensors};

/// The files of a command.
pub(crate) struct Files {
    main: TensorFile,
    teacher: Option<TensorFile>,
    labels: Option<TensorFile>,
}

impl Files {
    pub(crate) fn open(logits: &LogitsArgs, labels_file: Option<&Path>) -> Result<Self> {
        Ok(Self {
            main: TensorFile::open(&logits.file)?,
            teacher: logits.teacher_file.as_deref().map(TensorFile::open).transpose()?,
            labels: labels_file.map(TensorFile::open).transpose()?,
        })
    }

    pub(crate) fn student_tensors(&self) -> Result<Tensors<'_>> {
        self.main.tensors()
    }

    pub(crate) fn teacher_tensors(&self) -> Result<Tensors<'_>> {
        self.teacher.as_ref().unwrap_or(&self.main).tensors()
    }

    fn labels_tensors(&self) -> Result<Tensors<'_>> {
        self.labels.as_ref().unwrap_or(&self.main).tensors()
    }
}

/// A tensor by the name given, else by its usual one.
pub(crate) struct Wanted<'n> {
    given: Option<&'n str>,
    usual: &'n str,
    /// What to do where it is not there.
    remedy: &'n str,
}

impl<'n> Wanted<'n> {
    pub(crate) fn student(args: &'n LogitsArgs) -> Self {
        Self { given: args.student.as_deref(), usual: "student", remedy: "name the student's logits with --student" }
    }

    pub(crate) fn teacher(args: &'n LogitsArgs, remedy: &'n str) -> Self {
        Self { given: args.teacher.as_deref(), usual: "teacher", remedy }
    }

    fn labels(args: &'n EvalArgs, remedy: &'n str) -> Self {
        Self { given: args.labels.as_deref(), usual: "labels", remedy }
    }

    /// The tensor, which must be there.
    pub(crate) fn require<'a>(&self, tensors: &Tensors<'a>) -> Result<Tensor<'a>> {
        let name = self.given.unwrap_or(self.usual);
        tensors.find(name).ok_or_else(|| tensors.missing(name, self.remedy))
    }

    /// The tensor, which may be absent unless it is needed; but one whose name was given is meant.
    pub(crate) fn find<'a>(&self, needed: bool, tensors: &Tensors<'a>) -> Result<Option<Tensor<'a>>> {
        if needed || self.given.is_some() {
            return self.require(tensors).map(Some);
        }
        Ok(tensors.find(self.usual))
    }
}

/// What `eval` computes the loss of.
pub(crate) struct EvalInputs<'a> {
    student: LogitsRows<'a>,
    teacher: Option<LogitsRows<'a>>,
    labels: Option<LabelsRows<'a>>,
    pub(crate) vocab: usize,
}

impl<'a> EvalInputs<'a> {
    pub(crate) fn read(args: &EvalArgs, loss: &DistillationLoss, files: &'a Files) -> Result<Self> {
        let student = Wanted::student(&args.logits).require(&files.student_tensors()?)?;
        let student = LogitsTensor::new(student, None)?;

        // Where alpha does without a tensor already, only what was named or put into a file of its own can be missing.
        let remedy = if loss.has_soft_term() {
            "name the teacher's logits with --teacher, or do without them by --alpha 1"
        } else {
            "correct --teacher or --teacher-file, or leave them away: --alpha 1 needs no teacher"
        };
        let needed = loss.has_soft_term() || args.logits.teacher_file.is_some();
        let teacher = Wanted::teacher(&args.logits, remedy).find(needed, &files.teacher_tensors()?)?;
        let teacher = teacher.map(|tensor| LogitsTensor::new(tensor, Some(&student))).transpose()?;

        let remedy = if loss.has_hard_term() {
            "name the labels with --labels, or do without them by --alpha 0"
        } else {
            "correct --labels or --labels-file, or leave them away: --alpha 0 needs no labels"
        };
        let needed = loss.has_hard_term() || args.labels_file.is_some();
        let labels = Wanted::labels(args, remedy).find(needed, &files.labels_tensors()?)?;
        let labels = labels.map(|tensor| LabelsTensor::new(tensor, &student)).transpose()?;

        let vocab = vocab(args.logits.vocab, &student, teacher.as_ref())?;
        let tensors = EvalTensors { student, teacher, labels, vocab };
        if args.shift { tensors.read_shifted() } else { tensors.read() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.student.rows
    }

    /// Columns of the teacher that are no classes.
    pub(crate) fn dropped_teacher_columns(&self) -> usize {
        self.teacher.as_ref().map_or(0, |teacher| teacher.cols - self.vocab)
    }

    /// Raises what is doubtful about the tensors; the width is not where it was asked for.
    pub(crate) fn raise(&self, doubts: &Doubts, vocab_is_given: bool) -> Result<()> {
        doubts.raise(doubts::probabilities("student", &self.student))?;
        let Some(teacher) = &self.teacher else {
            return Ok(());
        };
        doubts.raise(doubts::probabilities("teacher", teacher))?;
        doubts.raise(doubts::dropped_columns(teacher.cols, self.vocab).filter(|_| !vocab_is_given))
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        let mut batch = Batch::new(self.student.matrix()).with_vocab(self.vocab);
        if let Some(teacher) = &self.teacher {
            batch = batch.with_teacher(teacher.matrix());
        }
        if let Some(labels) = &self.labels {
            batch = batch.with_labels(labels.labels());
        }
        batch
    }
}

/// The tensors of a batch, which fit each other.
struct EvalTensors<'a> {
    student: LogitsTensor<'a>,
    teacher: Option<LogitsTensor<'a>>,
    labels: Option<LabelsTensor<'a>>,
    vocab: usize,
}

impl<'a> EvalTensors<'a> {
    fn read(&self) -> Result<EvalInputs<'a>> {
        let all = |logits: &LogitsTensor<'a>| logits.read(0..logits.rows());
        Ok(EvalInputs {
            student: all(&self.student)?,
            teacher: self.teacher.as_ref().map(all).transpose()?,
            labels: self.labels.as_ref().map(LabelsTensor::read).transpose()?,
            vocab: self.vocab,
        })
    }

    /// Position `i` with label `i + 1`. The last position of a sequence has no label, and is no row of the batch.
    fn read_shifted(&self) -> Result<EvalInputs<'a>> {
        let Some((sequences, length)) = self.student.sequences() else {
            let (rows, cols) = (self.student.rows(), self.student.cols);
            return Err(Failure::new(format!(
                "--shift needs logits of the shape [B, S, V], but the student is [{rows}, {cols}]: \
                 save it as it was before it was flattened, or leave --shift out"
            )));
        };
        let positions = |logits: &LogitsTensor<'a>| logits.read_without_last_positions(sequences, length);
        let next = |labels: &LabelsTensor<'a>| labels.read_without_first_positions(sequences, length);
        Ok(EvalInputs {
            student: positions(&self.student)?,
            teacher: self.teacher.as_ref().map(positions).transpose()?,
            labels: self.labels.as_ref().map(next).transpose()?,
            vocab: self.vocab,
        })
    }
}

/// The paths that a command reads, which it must not write to.
pub(crate) fn paths<'p>(logits: &'p LogitsArgs, labels_file: Option<&'p Path>) -> Vec<&'p Path> {
    let files: [Option<&PathBuf>; 2] = [Some(&logits.file), logits.teacher_file.as_ref()];
    files.into_iter().flatten().map(PathBuf::as_path).chain(labels_file).collect()
}
