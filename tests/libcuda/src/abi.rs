//! What crosses the border: the arguments of C, and how a function of the library is declared.
//!
//! Every pointer here was handed over by a caller of the C interface, who promises by it what NVIDIA's documentation asks:
//! that it is null or valid for what the function does with it, until the function returns or, for host memory of
//! asynchronous copies, until the copy is done. That promise is what the `SAFETY` comments call the caller's.

use std::ffi::{CStr, c_char};

use crate::status::Status;

/// Declares functions of the library. Each is counted, can be told to fail, and never unwinds into its caller.
macro_rules! library {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$attribute])*
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> $crate::status::Status {
            $crate::inject::enter(stringify!($name), move || $body)
        }
    )*};
}
pub(crate) use library;

/// A context, stream, event, module, function or graph: a number that was never given to anything else, or 0.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle(pub(crate) usize);

impl Handle {
    pub(crate) const NULL: Self = Self(0);
}

/// Where a result goes.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(crate) fn put(self, value: T) -> Result<(), Status> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: not null, so the caller's promise is that a `T` may be written there.
        unsafe { self.0.write(value) };
        Ok(())
    }

    /// For results that a caller may leave out.
    pub(crate) fn put_if_wanted(self, value: T) {
        // Null is the one refusal of `put`.
        let _ = self.put(value);
    }
}

/// Consecutive values, or one.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct In<T>(*const T);

impl<T: Copy> In<T> {
    pub(crate) const NULL: Self = Self(std::ptr::null());

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(crate) fn get(self, index: usize) -> Result<T, Status> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: not null, so the caller's promise is that there are as many values as the function takes.
        Ok(unsafe { self.0.add(index).read() })
    }
}

/// A string that ends with a zero.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Text(*const c_char);

impl Text {
    pub(crate) fn bytes(&self) -> Result<&[u8], Status> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: not null, so the caller's promise is that a zero ends it.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_bytes())
    }

    pub(crate) fn string(&self) -> Result<String, Status> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// An address of the host's memory, kept as a number: asynchronous copies come to it later, from any thread.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host(pub(crate) usize);

impl Host {
    pub(crate) fn read(self, bytes: usize) -> Result<Vec<u8>, Status> {
        let mut content = vec![0; bytes];
        if self.0 == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let from = std::ptr::with_exposed_provenance::<u8>(self.0);
        // SAFETY: not null, so the caller's promise is that so many bytes may be read; `content` is as long, and new.
        unsafe { from.copy_to_nonoverlapping(content.as_mut_ptr(), bytes) };
        Ok(content)
    }

    pub(crate) fn write(self, content: &[u8]) -> Result<(), Status> {
        if self.0 == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let to = std::ptr::with_exposed_provenance_mut::<u8>(self.0);
        // SAFETY: not null, so the caller's promise is that so many bytes may be written, and that nobody else uses them.
        unsafe { to.copy_from_nonoverlapping(content.as_ptr(), content.len()) };
        Ok(())
    }

    /// Writes as much of a string as fits so many bytes with its zero.
    pub(crate) fn write_text(self, text: &str, space: usize) -> Result<(), Status> {
        let Some(most) = space.checked_sub(1) else { return Ok(()) };
        let mut content = text.as_bytes()[..text.len().min(most)].to_vec();
        content.push(0);
        self.write(&content)
    }
}
