//! Events: points of streams.

use std::ffi::c_uint;
use std::time::Instant;

use crate::abi::{Handle, Out, library};
use crate::driver::{self, Driver};
use crate::status::Status;
use crate::stream::Point;
use crate::work::Work;

/// Where an event was recorded last.
#[derive(Debug, Clone, Copy)]
enum Recorded {
    Nowhere,
    At(Point),
    /// In the capture of a stream, by which it means nothing outside of it.
    Captured(Handle),
}

/// A point of a stream, for others to wait for.
pub(crate) struct Event {
    pub(crate) context: Handle,
    /// When it was reached last.
    pub(crate) reached: Option<Instant>,
    is_timed: bool,
    recorded: Recorded,
}

/// `CU_EVENT_DISABLE_TIMING`, and all flags.
const DISABLE_TIMING: c_uint = 2;
const FLAGS: c_uint = 7;

impl Driver {
    fn record(&mut self, event: Handle, stream: Handle) -> Result<(), Status> {
        let of_stream = self.streams.get(stream)?;
        let (context, is_capturing) = (of_stream.context, of_stream.capture.is_some());
        if self.events.get(event)?.context != context {
            return Err(Status::INVALID_HANDLE);
        }
        let recorded = if is_capturing {
            Recorded::Captured(stream)
        } else {
            self.enqueue(stream, Work::Record(event))?;
            Recorded::At(self.end(stream)?)
        };
        let event = self.events.get_mut(event)?;
        (event.recorded, event.reached) = (recorded, None);
        Ok(())
    }

    fn wait(&mut self, stream: Handle, event: Handle) -> Result<(), Status> {
        let recorded = self.events.get(event)?.recorded;
        let capture = &mut self.streams.get_mut(stream)?.capture;
        match (recorded, capture) {
            (Recorded::Nowhere, _) => Ok(()),
            (Recorded::At(point), None) => self.enqueue(stream, Work::Wait(point)),
            // A capture is one queue: what was recorded in it comes before.
            (Recorded::Captured(source), Some(_)) if source == stream => Ok(()),
            (_, Some(capture)) => capture.invalidate(Status::STREAM_CAPTURE_ISOLATION),
            // That a second stream joins a capture is not modelled.
            (Recorded::Captured(_), None) => Err(Status::NOT_SUPPORTED),
        }
    }

    /// The point of an event that can be asked whether it is reached, if it was recorded, and the event's context.
    fn point(&mut self, event: Handle) -> Result<(Option<Point>, Handle), Status> {
        self.refuse_unsafe_call()?;
        let event = self.events.get(event)?;
        match event.recorded {
            Recorded::Nowhere => Ok((None, event.context)),
            Recorded::At(point) => Ok((Some(point), event.context)),
            Recorded::Captured(_) => Err(Status::CAPTURED_EVENT),
        }
    }
}

fn elapsed(start: Handle, end: Handle) -> Result<f32, Status> {
    driver::in_context(|driver, _| {
        let mut times = [start, end].map(|event| driver.events.get(event)).into_iter();
        let mut next = || {
            let event = times.next().ok_or(Status::UNKNOWN)??;
            match (event.is_timed, event.recorded) {
                (true, Recorded::At(point)) if driver.is_done(point) => event.reached.ok_or(Status::NOT_READY),
                (true, Recorded::At(_)) => Err(Status::NOT_READY),
                _ => Err(Status::INVALID_HANDLE),
            }
        };
        let (start, end) = (next()?, next()?);
        Ok(end.saturating_duration_since(start).as_secs_f32() * 1e3)
    })
}

library! {
    fn cuEventCreate(event: Out<Handle>, flags: c_uint) {
        if flags & !FLAGS != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let is_timed = flags & DISABLE_TIMING == 0;
        event.put(driver::in_context(|driver, context| {
            Ok(driver.events.add(Event { context, reached: None, is_timed, recorded: Recorded::Nowhere }))
        })?)
    }

    fn cuEventDestroy_v2(event: Handle) {
        driver::in_context(|driver, _| driver.events.remove(event).map(drop))
    }

    fn cuEventRecord(event: Handle, stream: Handle) {
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            driver.record(event, stream)
        })
    }

    fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: c_uint) {
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            if flags != 0 {
                return Err(Status::NOT_SUPPORTED);
            }
            driver.record(event, stream)
        })
    }

    fn cuEventSynchronize(event: Handle) {
        driver::in_context(|driver, _| {
            let (point, context) = driver.point(event)?;
            point.into_iter().for_each(|point| driver.run_until(point));
            driver.check(context)
        })
    }

    fn cuEventQuery(event: Handle) {
        driver::in_context(|driver, _| {
            let (point, context) = driver.point(event)?;
            point.map_or(Ok(()), |point| driver.query(point, context))
        })
    }

    fn cuEventElapsedTime(milliseconds: Out<f32>, start: Handle, end: Handle) {
        milliseconds.put(elapsed(start, end)?)
    }

    fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: Handle, end: Handle) {
        milliseconds.put(elapsed(start, end)?)
    }

    fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint) {
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            if flags != 0 {
                return Err(Status::NOT_SUPPORTED);
            }
            driver.wait(stream, event)
        })
    }
}
