//! Streams: queues of work that is done when somebody waits for it, and not before.
//!
//! This schedule finds out a host that forgets to wait. If a host asks whether a stream or an event is done and it is not, one
//! piece of work is done, so that a host that polls comes to an end.

use std::collections::VecDeque;
use std::ffi::{c_int, c_uint};

use crate::abi::{Handle, Out, library};
use crate::capture::Capture;
use crate::driver::{self, Driver};
use crate::status::Status;
use crate::work::Work;

/// Whom a stream waits for without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The default stream: for the blocking streams of its context.
    Legacy,
    /// For the default stream.
    Blocking,
    /// For nobody.
    NonBlocking,
}

/// A queue.
pub(crate) struct Stream {
    pub(crate) context: Handle,
    kind: Kind,
    queue: VecDeque<Work>,
    /// Pieces of work that are behind it.
    done: u64,
    pub(crate) capture: Option<Capture>,
}

/// When a stream has done so many pieces of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    stream: Handle,
    done: u64,
}

impl Stream {
    pub(crate) fn new(context: Handle, kind: Kind) -> Self {
        Self { context, kind, queue: VecDeque::new(), done: 0, capture: None }
    }

    /// Takes what is queued for done.
    pub(crate) fn give_up(&mut self) {
        self.done += self.queue.len() as u64;
        self.queue.clear();
    }
}

impl Driver {
    /// The stream of a handle, of which null and 1 mean the default stream of a context.
    pub(crate) fn stream(&self, stream: Handle, current: Handle) -> Result<Handle, Status> {
        if stream.0 <= 1 {
            return Ok(self.contexts.get(current)?.default_stream);
        }
        self.streams.get(stream).map(|_| stream)
    }

    /// Gives work to a stream, or to the graph that it captures.
    pub(crate) fn enqueue(&mut self, stream: Handle, work: Work) -> Result<(), Status> {
        if let Some(capture) = &mut self.streams.get_mut(stream)?.capture {
            return capture.add(work);
        }
        for point in self.implicit_dependencies(stream)? {
            self.streams.get_mut(stream)?.queue.push_back(Work::Wait(point));
        }
        self.streams.get_mut(stream)?.queue.push_back(work);
        Ok(())
    }

    /// What a stream waits for without being told.
    fn implicit_dependencies(&self, stream: Handle) -> Result<Vec<Point>, Status> {
        let Stream { context, kind, .. } = *self.streams.get(stream)?;
        let opposite = match kind {
            Kind::Legacy => Kind::Blocking,
            Kind::Blocking => Kind::Legacy,
            Kind::NonBlocking => return Ok(Vec::new()),
        };
        let others = self.streams.iter().filter(|(_, other)| other.context == context && other.kind == opposite);
        if others.clone().any(|(_, other)| other.capture.is_some()) {
            return Err(Status::STREAM_CAPTURE_IMPLICIT);
        }
        others.filter(|(_, other)| !other.queue.is_empty()).map(|(other, _)| self.end(other)).collect()
    }

    /// When a stream has done what it has been given.
    pub(crate) fn end(&self, stream: Handle) -> Result<Point, Status> {
        let Stream { queue, done, .. } = self.streams.get(stream)?;
        Ok(Point { stream, done: done + queue.len() as u64 })
    }

    pub(crate) fn is_done(&self, point: Point) -> bool {
        // A stream that is no more had done everything.
        self.streams.get(point.stream).map_or(true, |stream| stream.done >= point.done)
    }

    /// Does the next piece of a stream's work. What it waits for was there before it, so this ends.
    fn step(&mut self, stream: Handle) {
        let Ok(entry) = self.streams.get_mut(stream) else { return };
        let Some(work) = entry.queue.pop_front() else { return };
        let context = entry.context;
        if let Err(failure) = self.run(context, work) {
            self.fail(context, failure);
        }
        if let Ok(entry) = self.streams.get_mut(stream) {
            entry.done += 1;
        }
    }

    /// Works until a point is reached.
    pub(crate) fn run_until(&mut self, point: Point) {
        while !self.is_done(point) {
            self.step(point.stream);
        }
    }

    /// Does everything that a context has been given; the youngest streams first, whose dependencies are least likely met.
    pub(crate) fn drain(&mut self, context: Handle) {
        let of_context = self.streams.iter().filter(|(_, stream)| stream.context == context);
        let ends: Vec<Point> = of_context.rev().filter_map(|(stream, _)| self.end(stream).ok()).collect();
        ends.into_iter().for_each(|end| self.run_until(end));
    }

    /// Whether a point is reached; if not, it comes nearer.
    pub(crate) fn query(&mut self, point: Point, context: Handle) -> Result<(), Status> {
        if self.is_done(point) {
            return Ok(());
        }
        self.step(point.stream);
        self.check(context)?;
        Err(Status::NOT_READY)
    }
}

fn create(flags: c_uint) -> Result<Handle, Status> {
    let kind = match flags {
        0 => Kind::Blocking,
        1 => Kind::NonBlocking,
        _ => return Err(Status::INVALID_VALUE),
    };
    driver::in_context(|driver, current| Ok(driver.streams.add(Stream::new(current, kind))))
}

library! {
    fn cuStreamCreate(stream: Out<Handle>, flags: c_uint) {
        stream.put(create(flags)?)
    }

    fn cuStreamCreateWithPriority(stream: Out<Handle>, flags: c_uint, _priority: c_int) {
        stream.put(create(flags)?)
    }

    fn cuStreamDestroy_v2(stream: Handle) {
        driver::in_context(|driver, _| {
            // A GPU finishes the work without anybody waiting for it.
            let end = driver.end(stream)?;
            driver.run_until(end);
            driver.streams.remove(stream).map(drop)
        })
    }

    fn cuStreamSynchronize(stream: Handle) {
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            driver.refuse_capturing(stream)?;
            let (end, context) = (driver.end(stream)?, driver.streams.get(stream)?.context);
            driver.run_until(end);
            driver.check(context)
        })
    }

    fn cuStreamQuery(stream: Handle) {
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            driver.refuse_capturing(stream)?;
            let (end, context) = (driver.end(stream)?, driver.streams.get(stream)?.context);
            driver.query(end, context)
        })
    }

    fn cuStreamGetCtx(stream: Handle, context: Out<Handle>) {
        context.put(driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            Ok(driver.streams.get(stream)?.context)
        })?)
    }

    fn cuStreamGetFlags(stream: Handle, flags: Out<c_uint>) {
        flags.put(driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            Ok((driver.streams.get(stream)?.kind == Kind::NonBlocking).into())
        })?)
    }
}
