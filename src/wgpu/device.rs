//! Asking a device for something that it may refuse.
//!
//! wgpu reports what is wrong with a call to the innermost error scope, and panics where there is none. A scope belongs to
//! the thread that opened it, and is closed here before the call returns.

use crate::error::{Error, Result};

/// Storage buffers of the kernel that binds most of them: everything but the parameters.
const STORAGE_BUFFERS: u32 = 7;

/// Runs `create` and returns what it made, or the device's complaint. `operation` completes "the device refused to …".
pub(super) fn ask<T>(device: &wgpu::Device, operation: &'static str, create: impl FnOnce() -> T) -> Result<T> {
    let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal]
        .map(|filter| device.push_error_scope(filter));
    let made = create();
    let mut refusal = None;
    // Scopes are a stack: the last that was opened is the first to be closed.
    for scope in scopes.into_iter().rev() {
        refusal = pollster::block_on(scope.pop()).or(refusal);
    }
    match refusal {
        None => Ok(made),
        Some(error) => Err(Error::Device { operation, message: one_line(&error) }),
    }
}

/// An error with its causes, in one line: wgpu's innermost cause says what is wrong, the outer ones where.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    // The text of an error may repeat its causes.
    let first = causes.remove(0);
    causes.retain(|cause| !first.contains(cause.as_str()));
    causes.insert(0, first);
    causes.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the device is there, and binds enough for any kernel. On a device that is gone almost every call succeeds.
pub(super) fn check(device: &wgpu::Device) -> Result<()> {
    filled_buffer(device, "kdloss probe", 4, wgpu::BufferUsages::STORAGE, |_| ())?;
    match device.limits().max_storage_buffers_per_shader_stage {
        count if count < STORAGE_BUFFERS => Err(Error::Device {
            operation: "bind the kernels' buffers",
            message: format!(
                "it binds {count} storage buffers to a shader and {STORAGE_BUFFERS} are needed: request it with a larger \
                 max_storage_buffers_per_shader_stage"
            ),
        }),
        _ => Ok(()),
    }
}

/// A buffer, which the device may have no memory for.
pub(super) fn buffer(
    device: &wgpu::Device,
    label: &'static str,
    size: u64,
    usage: wgpu::BufferUsages,
) -> Result<wgpu::Buffer> {
    ask(device, "allocate a buffer", || {
        device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false })
    })
}

/// A buffer whose contents `fill` writes.
pub(super) fn filled_buffer(
    device: &wgpu::Device,
    label: &'static str,
    size: u64,
    usage: wgpu::BufferUsages,
    fill: impl FnOnce(wgpu::WriteOnly<'_, [u8]>),
) -> Result<wgpu::Buffer> {
    let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: true };
    let buffer = ask(device, "allocate a buffer", || device.create_buffer(&descriptor))?;
    // What has no memory was refused above; a device that is gone makes buffers that cannot be written.
    let mut view = buffer.get_mapped_range_mut(..).map_err(|error| Error::DeviceLost { reason: one_line(&error) })?;
    fill(view.slice(..));
    drop(view);
    ask(device, "unmap a buffer", || buffer.unmap())?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::STORAGE_BUFFERS;
    use crate::wgpu::variant::{Access, Kernel, Variant};

    #[test]
    fn no_kernel_binds_more_storage_buffers() {
        let storage = |variant| {
            let bindings = Kernel::Distill(variant).bindings().into_iter();
            bindings.filter(|&(_, access)| access != Access::Uniform).count()
        };
        assert_eq!(Variant::all().map(storage).max(), Some(STORAGE_BUFFERS as usize));
    }
}
