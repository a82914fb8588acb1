//! What computes a loss: the library's backends, behind one shape.
//!
//! A [`Provider`](device::Provider) is a backend for GPUs: it lists its [`Device`]s, or says what is missing. A device describes
//! itself and opens an [`Engine`], which evaluates the loss of host slices; the reference and the processor are engines that
//! are always there. [`Pick`] is the one that the options ask for. To measure it, `kdloss bench` has it take turns with its
//! memory in a [`Contest`](contest::Contest).

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
mod absent;
mod contest;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
mod driver;
mod engine;
mod pick;
mod problem;
mod providers;
mod reference;
#[cfg(feature = "wgpu")]
mod wgpu;

pub(crate) use device::{Device, Provider};
pub(crate) use engine::Engine;
pub(crate) use pick::Pick;
pub(crate) use problem::Problem;
pub(crate) use providers::PROVIDERS;
#[cfg(feature = "wgpu")]
pub use wgpu::leave_out_device_select_layer;
