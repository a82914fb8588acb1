//! Storage types to `f32` and back, a tile at a time.

use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::tile::{LANES, TILE};
use crate::logits::{Logits, LogitsMut};
use crate::row_stats::MASKED;

/// Room for one tile as `f32`, for rows of `vocab` elements.
pub(super) struct TileBuffer(Vec<f32>);

impl TileBuffer {
    pub(super) fn new(vocab: usize) -> Self {
        Self(vec![0.0; vocab.min(TILE).next_multiple_of(LANES)])
    }

    /// The logits as `f32`, padded with [`MASKED`] to a multiple of [`LANES`]: the slice itself where it is that
    /// already, else a copy.
    pub(super) fn load<'b>(&'b mut self, logits: Logits<'b>) -> &'b [f32] {
        let len = logits.len();
        if let Logits::F32(slice) = logits
            && len.is_multiple_of(LANES)
        {
            return slice;
        }
        let (values, padding) = self.0[..len.next_multiple_of(LANES)].split_at_mut(len);
        match logits {
            Logits::F32(slice) => values.copy_from_slice(slice),
            Logits::F16(slice) => slice.convert_to_f32_slice(values),
            Logits::Bf16(slice) => widen_bf16(slice, values),
        }
        padding.fill(MASKED);
        &self.0[..len.next_multiple_of(LANES)]
    }

    /// The first `len` elements, rounded up to a multiple of [`LANES`], to write to.
    pub(super) fn room(&mut self, len: usize) -> &mut [f32] {
        &mut self.0[..len.next_multiple_of(LANES)]
    }
}

/// Stores values in the destination's type, rounded to nearest, ties to even.
pub(super) fn store(values: &[f32], destination: LogitsMut<'_>) {
    let values = &values[..destination.len()];
    match destination {
        LogitsMut::F32(slice) => slice.copy_from_slice(values),
        LogitsMut::F16(slice) => slice.convert_from_f32_slice(values),
        LogitsMut::Bf16(slice) => narrow_to_bf16(values, slice),
    }
}

/// Written as bit operations, which the compiler vectorises; the conversions of [`bf16`] go one element at a time.
fn widen_bf16(from: &[bf16], to: &mut [f32]) {
    for (from, to) in from.iter().zip(to) {
        *to = f32::from_bits(u32::from(from.to_bits()) << 16);
    }
}

fn narrow_to_bf16(from: &[f32], to: &mut [bf16]) {
    for (from, to) in from.iter().zip(to) {
        let bits = from.to_bits();
        let ties_to_even = 0x7fff + ((bits >> 16) & 1);
        let rounded = (bits.wrapping_add(ties_to_even) >> 16) as u16;
        let quiet_nan = (bits >> 16) as u16 | 0x40;
        *to = bf16::from_bits(if from.is_nan() { quiet_nan } else { rounded });
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn every_bf16_widens_as_the_half_crate_widens_it() {
        let all: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
        let mut wide = vec![0.0f32; all.len()];
        widen_bf16(&all, &mut wide);
        for (from, to) in all.iter().zip(&wide) {
            assert!(to.to_bits() == from.to_f32().to_bits() || (to.is_nan() && from.is_nan()));
        }
    }

    #[test]
    fn narrowing_rounds_as_the_half_crate_rounds() {
        let values: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
        let mut narrow = vec![bf16::ZERO; values.len()];
        narrow_to_bf16(&values, &mut narrow);
        for (from, to) in values.iter().zip(&narrow) {
            assert_eq!(to.to_bits(), bf16::from_f32(*from).to_bits(), "{from}");
        }
    }

    #[test]
    fn a_tile_is_padded_with_masked_entries() {
        let mut buffer = TileBuffer::new(20);
        let loaded = buffer.load(Logits::F16(&[f16::ONE; 17]));
        assert_eq!(loaded.len(), 32);
        assert!(loaded[..17].iter().all(|&value| value == 1.0));
        assert!(loaded[17..].iter().all(|&value| value == MASKED));
    }

    #[test]
    fn whole_f32_tiles_are_not_copied() {
        let logits = vec![0.5f32; TILE];
        let mut buffer = TileBuffer::new(TILE);
        assert_eq!(buffer.load(Logits::F32(&logits)).as_ptr(), logits.as_ptr());
    }
}
