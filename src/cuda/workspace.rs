//! What calls on a stream need besides the caller's buffers, and what they leave there.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DeviceRepr, ValidAsZeroBits};

use super::driver::refused;
use super::params::{RowRecord, Totals};
use super::results;
use crate::call::Call;
use crate::error::{Error, Result};
use crate::value::LossValue;

/// The totals of a call, the losses of its rows, and the ticket that tells which CTA finishes last.
///
/// One for each stream: calls that share it must run one after another. It takes 56 bytes and 16 for each row of the largest
/// batch it has seen. What a call leaves in it stays on the device until [`Workspace::read`] is called.
#[derive(Debug)]
pub struct Workspace {
    stream: Arc<CudaStream>,
    totals: Buffer<u64>,
    records: Buffer<f32>,
    /// The call whose results are there.
    launched: Option<Call>,
}

/// Device memory that is only used on the stream it was allocated on. So its address needs no event to wait for, which no graph
/// could contain.
#[derive(Debug)]
struct Buffer<T> {
    slice: CudaSlice<T>,
    address: u64,
}

/// Numbers of a row's record, and of the totals.
const RECORD_LEN: usize = size_of::<RowRecord>() / 4;
const TOTALS_LEN: usize = size_of::<Totals>() / 8;

impl Workspace {
    /// A workspace for calls on this stream.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`], or what else the driver says.
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        Self::with_rows(stream, 1)
    }

    /// A workspace that holds batches of so many rows without growing, as a graph needs it.
    ///
    /// # Errors
    ///
    /// As [`Workspace::new`].
    pub fn with_rows(stream: &Arc<CudaStream>, rows: usize) -> Result<Self> {
        let totals = Buffer::zeroed(stream, TOTALS_LEN)?;
        let records = Buffer::zeroed(stream, RECORD_LEN * rows.max(1))?;
        Ok(Self { stream: Arc::clone(stream), totals, records, launched: None })
    }

    /// The stream it belongs to.
    #[must_use]
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Bytes that it takes on the device.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.totals.slice.num_bytes() + self.records.slice.num_bytes()
    }

    /// The device address of the loss of the last call, an `f64`, for whoever goes on with it on this stream. Behind it
    /// stand its hard and its soft term, both after the reduction and before `alpha`.
    #[must_use]
    pub fn loss_address(&self) -> u64 {
        self.totals.address
    }

    /// Waits for the last call on this stream and reads its loss. It may be read again.
    ///
    /// # Errors
    ///
    /// [`Error::NothingComputed`] before the first call; [`Error::LabelOutOfRange`] with the first row whose label is neither
    /// a class nor the ignored value (that row's gradient and losses are NaN, those of the others are as they should be);
    /// [`Error::DeviceLost`] where a kernel failed, this one or one before it.
    pub fn read(&self) -> Result<LossValue> {
        let call = self.launched.ok_or(Error::NothingComputed)?;
        let rows = call.rows;
        let mut totals = [0u64; TOTALS_LEN];
        let mut records = vec![0.0f32; RECORD_LEN * rows];
        let failed = |error| refused("read the loss", error);
        self.stream.memcpy_dtoh(&self.totals.slice, &mut totals).map_err(failed)?;
        if rows > 0 {
            self.stream.memcpy_dtoh(&self.records.slice.slice(..RECORD_LEN * rows), &mut records).map_err(failed)?;
        }
        self.stream.synchronize().map_err(failed)?;
        results::read(&call, &bytemuck::cast(totals), &bytemuck::pod_collect_to_vec(&records))
    }

    /// The device addresses of records for so many rows, and of the totals. `before_growing` is asked where there is too
    /// little room.
    pub(super) fn room(&mut self, rows: usize, before_growing: impl FnOnce() -> Result<()>) -> Result<(u64, u64)> {
        if self.records.slice.len() < RECORD_LEN * rows {
            before_growing()?;
            self.launched = None;
            self.records = Buffer::zeroed(&self.stream, RECORD_LEN * rows)?;
        }
        Ok((self.records.address, self.totals.address))
    }

    /// Remembers what has been launched.
    pub(super) fn launched(&mut self, call: Call) {
        self.launched = Some(call);
    }
}

impl<T: DeviceRepr + ValidAsZeroBits> Buffer<T> {
    fn zeroed(stream: &Arc<CudaStream>, len: usize) -> Result<Self> {
        let slice = stream.alloc_zeros(len).map_err(|error| refused("allocate a workspace", error))?;
        let address = slice.device_ptr(stream).0;
        Ok(Self { slice, address })
    }
}
