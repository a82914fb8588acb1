//! What a call leaves on the device, and reading it.

use std::sync::{Mutex, PoisonError, mpsc};

use super::params::{RowRecord, Totals};
use crate::call::{Call, Counts};
use crate::error::{Error, Result};
use crate::value::{LossValue, RowLoss};

/// The result of an encoded call: on the device once the encoder has been submitted, and readable from then on.
///
/// Nothing needs to be read for training: the gradient is in its buffer, and [`Pending::totals`] can be bound by other
/// kernels. [`Pending::read`] brings the loss of the batch and of each row to the host.
#[derive(Debug)]
pub struct Pending {
    device: wgpu::Device,
    call: Call,
    lanes: u32,
    totals: wgpu::Buffer,
    rows: wgpu::Buffer,
    /// Mapped by one reader at a time.
    staging: Mutex<wgpu::Buffer>,
}

impl Pending {
    pub(super) fn new(
        device: &wgpu::Device,
        call: Call,
        lanes: u32,
        totals: wgpu::Buffer,
        rows: wgpu::Buffer,
        staging: wgpu::Buffer,
    ) -> Self {
        Self { device: device.clone(), call, lanes, totals, rows, staging: Mutex::new(staging) }
    }

    /// The totals, 44 bytes: the loss, its hard and its soft term as three `f32`, then as `u32` the rows that have a label,
    /// the rows whose soft term counts, the rows whose loss is NaN, the first row whose label is no class (else
    /// `u32::MAX`) and the two words of that label, a word that is 0x6b646c73 once all of it is written (and 0x6b646c69 if a
    /// part of the batch was missed: the loss is NaN then), and the rows that were visited. The buffer has the usages
    /// `STORAGE` and `COPY_SRC`.
    ///
    /// These sums are `f32`, in a fixed order. [`Pending::read`] sums the rows in `f64`.
    #[must_use]
    pub fn totals(&self) -> &wgpu::Buffer {
        &self.totals
    }

    /// The losses of the rows, before any reduction, 16 bytes for each: hard, soft and `alpha · hard + (1 - alpha) · soft`
    /// as `f32`, and a word of flags (1: the hard term counts, 2: the soft term counts, 4: NaN, 8: the hard term is
    /// infinite, 16: the soft term is, 32: the label is no class, 64: the row was visited whole, without which
    /// its loss is NaN). The buffer has the usages `STORAGE` and `COPY_SRC`.
    #[must_use]
    pub fn rows(&self) -> &wgpu::Buffer {
        &self.rows
    }

    /// Waits for the device and reads the result. It may be read again, and from several threads.
    ///
    /// # Errors
    ///
    /// [`Error::LabelOutOfRange`] with the first row whose label is neither a class nor the ignored value (that row's
    /// gradient and losses are NaN, and those of the other rows are as they should be); [`Error::RowIncomplete`] if the
    /// device did not visit all of a row; [`Error::NotSubmitted`] if the encoder has not been submitted;
    /// [`Error::DeviceLost`].
    pub fn read(&self) -> Result<LossValue> {
        let (totals, records) = self.download()?;
        match totals.complete {
            Totals::COMPLETE => {}
            Totals::INCOMPLETE => return Err(self.incomplete(&totals, &records)),
            _ => return Err(Error::NotSubmitted),
        }
        if totals.bad_label_row != Totals::NO_ROW {
            return Err(Error::LabelOutOfRange {
                row: totals.bad_label_row as usize,
                label: i64::from(totals.bad_label_low) | i64::from(totals.bad_label_high.cast_signed()) << 32,
                vocab: self.call.vocab,
                ignore_index: self.call.loss.ignore_index,
            });
        }
        let term = |bits: u32| f64::from(f32::from_bits(bits));
        let rows =
            records.iter().map(|record| RowLoss::new(&self.call.loss, term(record.hard), term(record.soft))).collect();
        let counts = Counts { labelled_rows: totals.labelled_rows as usize, soft_rows: totals.soft_rows as usize };
        Ok(LossValue::reduce(&self.call, counts, rows, totals.nonfinite_rows as usize))
    }

    /// The first row that was not visited whole; else the first that was not counted, since lanes stop together.
    fn incomplete(&self, totals: &Totals, records: &[RowRecord]) -> Error {
        let broken = records.iter().position(|record| record.status & RowRecord::WHOLE == 0);
        let row = broken.unwrap_or(totals.visited_rows as usize).min(self.call.rows.saturating_sub(1));
        Error::RowIncomplete { row, vocab: self.call.vocab, lanes: self.lanes }
    }

    fn download(&self) -> Result<(Totals, Vec<RowRecord>)> {
        let staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = read_buffer(&self.device, &staging)?;
        let (totals, records) = bytes.split_at(size_of::<Totals>());
        Ok((bytemuck::pod_read_unaligned(totals), bytemuck::pod_collect_to_vec(records)))
    }
}

/// The bytes of a buffer that can be mapped, once the device has done everything submitted so far.
pub(super) fn read_buffer(device: &wgpu::Device, buffer: &wgpu::Buffer) -> Result<Vec<u8>> {
    let lost = |reason: &str| Error::DeviceLost { reason: reason.to_owned() };
    let (sender, receiver) = mpsc::channel();
    // Mapping a buffer of a lost device is told both to the callback and to the scope.
    let mapping = super::device::ask(device, "map a buffer", || {
        // The receiver outlives the call unless it has already failed otherwise.
        buffer.map_async(wgpu::MapMode::Read, .., move |result| drop(sender.send(result)));
    });
    if let Err(error) = mapping {
        return Err(lost(&error.to_string()));
    }
    device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| lost(&error.to_string()))?;
    // The answer may be delivered by another thread that waits for the same device, a little later.
    match receiver.recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(lost(&error.to_string())),
        Err(error) => return Err(lost(&error.to_string())),
    }
    let bytes = match buffer.get_mapped_range(..) {
        Ok(view) => view.to_vec(),
        Err(error) => return Err(lost(&error.to_string())),
    };
    super::device::ask(device, "unmap a buffer", || buffer.unmap())?;
    Ok(bytes)
}
