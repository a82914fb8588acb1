//! Capturing a stream's work in a graph, and launching it. One stream at a time: none joins another's capture.

use std::ffi::{c_uint, c_ulonglong};
use std::thread::{self, ThreadId};

use crate::abi::{Handle, Out, library};
use crate::driver::{self, Driver};
use crate::status::Status;
use crate::work::Work;

/// Whose calls a capture restricts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Those of all threads.
    Global,
    /// Those of the thread that captures.
    ThreadLocal,
    /// Nobody's.
    Relaxed,
}

/// A capture that goes on.
pub(crate) struct Capture {
    mode: Mode,
    thread: ThreadId,
    is_valid: bool,
    work: Vec<Work>,
}

/// What was captured.
#[derive(Debug, Clone)]
pub(crate) struct Graph(Vec<Work>);

impl Capture {
    pub(crate) fn add(&mut self, work: Work) -> Result<(), Status> {
        if !self.is_valid {
            return Err(Status::STREAM_CAPTURE_INVALIDATED);
        }
        self.work.push(work);
        Ok(())
    }

    /// Refuses a call, by which the capture comes to nothing.
    pub(crate) fn invalidate(&mut self, status: Status) -> Result<(), Status> {
        self.is_valid = false;
        Err(status)
    }

    fn restricts(&self, thread: ThreadId) -> bool {
        self.mode == Mode::Global || self.mode == Mode::ThreadLocal && self.thread == thread
    }
}

impl Driver {
    /// Refuses what a stream that captures cannot do.
    pub(crate) fn refuse_capturing(&mut self, stream: Handle) -> Result<(), Status> {
        let capture = self.streams.get_mut(stream)?.capture.as_mut();
        capture.map_or(Ok(()), |capture| capture.invalidate(Status::STREAM_CAPTURE_UNSUPPORTED))
    }

    /// Refuses what a context cannot do while one of its streams captures.
    pub(crate) fn refuse_while_capturing(&mut self, context: Handle) -> Result<(), Status> {
        let captures = self.streams.values_mut().filter(|stream| stream.context == context);
        refuse(captures.filter_map(|stream| stream.capture.as_mut()))
    }

    /// Refuses a call that the driver takes for potentially unsafe while this thread, or in global mode any, captures.
    pub(crate) fn refuse_unsafe_call(&mut self) -> Result<(), Status> {
        let thread = thread::current().id();
        let captures = self.streams.values_mut().filter_map(|stream| stream.capture.as_mut());
        refuse(captures.filter(|capture| capture.restricts(thread)))
    }

    fn end_capture(&mut self, stream: Handle) -> Result<Handle, Status> {
        let capture = &mut self.streams.get_mut(stream)?.capture;
        let is_elsewhere =
            |capture: &Capture| capture.mode != Mode::Relaxed && capture.thread != thread::current().id();
        if capture.as_ref().is_some_and(is_elsewhere) {
            return Err(Status::STREAM_CAPTURE_WRONG_THREAD);
        }
        let capture = capture.take().ok_or(Status::ILLEGAL_STATE)?;
        if !capture.is_valid {
            return Err(Status::STREAM_CAPTURE_INVALIDATED);
        }
        Ok(self.graphs.add(Graph(capture.work)))
    }
}

fn refuse<'a>(captures: impl Iterator<Item = &'a mut Capture>) -> Result<(), Status> {
    let refused = captures.map(|capture| capture.invalidate(Status::STREAM_CAPTURE_UNSUPPORTED));
    // All of them, not only the first.
    refused.fold(Ok(()), Result::and)
}

/// `CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH` and `…_USE_NODE_PRIORITY`, which change nothing here.
const HARMLESS_FLAGS: c_ulonglong = 1 | 8;

library! {
    fn cuStreamBeginCapture_v2(stream: Handle, mode: c_uint) {
        let mode = match mode {
            0 => Mode::Global,
            1 => Mode::ThreadLocal,
            2 => Mode::Relaxed,
            _ => return Err(Status::INVALID_VALUE),
        };
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            if stream == driver.contexts.get(current)?.default_stream {
                return Err(Status::STREAM_CAPTURE_UNSUPPORTED);
            }
            let stream = driver.streams.get_mut(stream)?;
            if stream.capture.is_some() {
                return Err(Status::ILLEGAL_STATE);
            }
            let thread = thread::current().id();
            stream.capture = Some(Capture { mode, thread, is_valid: true, work: Vec::new() });
            Ok(())
        })
    }

    fn cuStreamEndCapture(stream: Handle, graph: Out<Handle>) {
        let captured = driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            driver.end_capture(stream)
        });
        graph.put(captured.unwrap_or(Handle::NULL))?;
        captured.map(drop)
    }

    fn cuStreamIsCapturing(stream: Handle, status: Out<c_uint>) {
        status.put(driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            Ok(match &driver.streams.get(stream)?.capture {
                None => 0,
                Some(capture) if capture.is_valid => 1,
                Some(_) => 2,
            })
        })?)
    }

    fn cuGraphInstantiateWithFlags(executable: Out<Handle>, graph: Handle, flags: c_ulonglong) {
        if flags & !HARMLESS_FLAGS != 0 {
            return Err(Status::INVALID_VALUE);
        }
        executable.put(driver::in_context(|driver, _| {
            let graph = driver.graphs.get(graph)?.clone();
            Ok(driver.executable_graphs.add(graph))
        })?)
    }

    fn cuGraphLaunch(executable: Handle, stream: Handle) {
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            let Graph(work) = driver.executable_graphs.get(executable)?.clone();
            work.into_iter().try_for_each(|work| driver.enqueue(stream, work))
        })
    }

    fn cuGraphUpload(executable: Handle, stream: Handle) {
        driver::in_context(|driver, current| {
            driver.stream(stream, current)?;
            driver.executable_graphs.get(executable).map(drop)
        })
    }

    fn cuGraphDestroy(graph: Handle) {
        driver::with(|driver| driver.graphs.remove(graph).map(drop))
    }

    fn cuGraphExecDestroy(executable: Handle) {
        driver::with(|driver| driver.executable_graphs.remove(executable).map(drop))
    }
}
