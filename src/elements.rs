//! Borrowed buffers of any storage type: logits, gradients and labels.
//!
//! The type is known at run time only, so that a program that reads it from a file needs no generics, and so that one
//! call serves every combination of student, teacher and gradient types. 16-bit types are storage: arithmetic is `f32`.

use half::{bf16, f16};

/// The storage type of logits or of a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision: 11 significant bits, largest value 65 504.
    F16,
    /// Brain float: 8 significant bits, the range of `f32`.
    Bf16,
}

impl DType {
    /// Bytes of one element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::Bf16 => 2,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
        })
    }
}

/// A borrowed buffer of logits: anything that is `&[f32]`, `&[f16]` or `&[bf16]`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Elements<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
    /// Brain float.
    Bf16(&'a [bf16]),
}

/// A mutably borrowed buffer of logits or of a gradient: `&mut [f32]`, `&mut [f16]` or `&mut [bf16]`.
///
/// Values are stored rounded to nearest, ties to even. Gradients of a mean over many rows fall below the smallest `f16`
/// (6e-8): keep them in `f32`, or scale them with [`grad_scale`](crate::DistillationLoss::grad_scale).
#[derive(Debug)]
#[non_exhaustive]
pub enum ElementsMut<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Half precision.
    F16(&'a mut [f16]),
    /// Brain float.
    Bf16(&'a mut [bf16]),
}

/// A borrowed buffer of labels, one per row: `&[i64]` or `&[i32]`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Labels<'a> {
    /// 64-bit labels, as PyTorch has them.
    I64(&'a [i64]),
    /// 32-bit labels.
    I32(&'a [i32]),
}

/// Runs the same expression on the slice inside, whatever its type.
macro_rules! on_slice {
    ($buffer:expr, $slice:ident => $body:expr) => {
        match $buffer {
            Self::F32($slice) => $body,
            Self::F16($slice) => $body,
            Self::Bf16($slice) => $body,
        }
    };
}

impl<'a> Elements<'a> {
    /// Elements in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        on_slice!(self, slice => slice.len())
    }

    /// Whether the buffer has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The storage type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F16(_) => DType::F16,
            Self::Bf16(_) => DType::Bf16,
        }
    }

    /// The elements `start..end`, which the caller has checked to exist.
    pub(crate) fn slice(self, start: usize, end: usize) -> Elements<'a> {
        match self {
            Self::F32(slice) => Elements::F32(&slice[start..end]),
            Self::F16(slice) => Elements::F16(&slice[start..end]),
            Self::Bf16(slice) => Elements::Bf16(&slice[start..end]),
        }
    }

    /// Element `index`, which the caller has checked to exist.
    pub(crate) fn get(self, index: usize) -> f32 {
        match self {
            Self::F32(slice) => slice[index],
            Self::F16(slice) => slice[index].to_f32(),
            Self::Bf16(slice) => slice[index].to_f32(),
        }
    }
}

impl<'a> ElementsMut<'a> {
    /// Elements in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        on_slice!(self, slice => slice.len())
    }

    /// Whether the buffer has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The storage type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.as_logits().dtype()
    }

    /// The same buffer, to read.
    #[must_use]
    pub fn as_logits(&self) -> Elements<'_> {
        match self {
            Self::F32(slice) => Elements::F32(slice),
            Self::F16(slice) => Elements::F16(slice),
            Self::Bf16(slice) => Elements::Bf16(slice),
        }
    }

    /// The same buffer, borrowed for a shorter time.
    pub(crate) fn reborrow(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(slice) => ElementsMut::F32(slice),
            Self::F16(slice) => ElementsMut::F16(slice),
            Self::Bf16(slice) => ElementsMut::Bf16(slice),
        }
    }

    /// The elements before `middle` and those from it on.
    pub(crate) fn split_at(self, middle: usize) -> (ElementsMut<'a>, ElementsMut<'a>) {
        macro_rules! split {
            ($slice:ident, $variant:ident) => {{
                let (left, right) = $slice.split_at_mut(middle);
                (ElementsMut::$variant(left), ElementsMut::$variant(right))
            }};
        }
        match self {
            Self::F32(slice) => split!(slice, F32),
            Self::F16(slice) => split!(slice, F16),
            Self::Bf16(slice) => split!(slice, Bf16),
        }
    }

    /// Consecutive parts of `size` elements, the last one shorter.
    pub(crate) fn chunks(self, size: usize) -> impl Iterator<Item = ElementsMut<'a>> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let current = rest.take().filter(|rest| !rest.is_empty())?;
            let middle = size.min(current.len());
            let (chunk, after) = current.split_at(middle);
            rest = Some(after);
            Some(chunk)
        })
    }

    /// Writes `value` everywhere.
    pub(crate) fn fill(&mut self, value: f32) {
        match self {
            Self::F32(slice) => slice.fill(value),
            Self::F16(slice) => slice.fill(f16::from_f32(value)),
            Self::Bf16(slice) => slice.fill(bf16::from_f32(value)),
        }
    }
}

impl Labels<'_> {
    /// Labels in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::I64(labels) => labels.len(),
            Self::I32(labels) => labels.len(),
        }
    }

    /// Whether the buffer has no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of `row`, which the caller has checked to exist.
    pub(crate) fn get(&self, row: usize) -> i64 {
        match self {
            Self::I64(labels) => labels[row],
            Self::I32(labels) => i64::from(labels[row]),
        }
    }
}

/// Lets `&[T]`, `&[T; N]` and `&Vec<T>` be given where a buffer is expected.
macro_rules! from_slices {
    ($element:ty, $buffer:ident :: $variant:ident) => {
        impl<'a> From<&'a [$element]> for $buffer<'a> {
            fn from(slice: &'a [$element]) -> Self {
                Self::$variant(slice)
            }
        }
        impl<'a, const N: usize> From<&'a [$element; N]> for $buffer<'a> {
            fn from(array: &'a [$element; N]) -> Self {
                Self::$variant(array)
            }
        }
        impl<'a> From<&'a Vec<$element>> for $buffer<'a> {
            fn from(vec: &'a Vec<$element>) -> Self {
                Self::$variant(vec)
            }
        }
    };
    (mut $element:ty, $buffer:ident :: $variant:ident) => {
        impl<'a> From<&'a mut [$element]> for $buffer<'a> {
            fn from(slice: &'a mut [$element]) -> Self {
                Self::$variant(slice)
            }
        }
        impl<'a, const N: usize> From<&'a mut [$element; N]> for $buffer<'a> {
            fn from(array: &'a mut [$element; N]) -> Self {
                Self::$variant(array)
            }
        }
        impl<'a> From<&'a mut Vec<$element>> for $buffer<'a> {
            fn from(vec: &'a mut Vec<$element>) -> Self {
                Self::$variant(vec)
            }
        }
    };
}

from_slices!(f32, Elements::F32);
from_slices!(f16, Elements::F16);
from_slices!(bf16, Elements::Bf16);
from_slices!(mut f32, ElementsMut::F32);
from_slices!(mut f16, ElementsMut::F16);
from_slices!(mut bf16, ElementsMut::Bf16);
from_slices!(i64, Labels::I64);
from_slices!(i32, Labels::I32);
