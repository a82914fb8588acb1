//! Contexts: a device's primary one, others, and which of them is current in a thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};

use crate::abi::{Handle, Host, In, Out, library};
use crate::driver::{self, Driver};
use crate::fault::Failure;
use crate::status::Status;
use crate::stream::{Kind, Stream};

/// What streams, events, modules and memory belong to.
pub(crate) struct Context {
    /// Index of its device.
    pub(crate) device: usize,
    /// The stream that a null handle means.
    pub(crate) default_stream: Handle,
    pub(crate) failure: Option<Failure>,
    limits: BTreeMap<c_uint, usize>,
}

thread_local! {
    /// The thread's contexts; the last is current.
    static STACK: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// The thread's current context, if it has one.
pub(crate) fn current() -> Option<Handle> {
    STACK.with_borrow(|stack| stack.last().copied())
}

/// `CU_LIMIT_STACK_SIZE` to `CU_LIMIT_PERSISTING_L2_CACHE_SIZE`, of which only the first is not 0 at first.
const LIMITS: std::ops::Range<c_uint> = 0..7;
const STACK_BYTES: usize = 1024;

impl Driver {
    fn create_context(&mut self, device: c_int) -> Result<Handle, Status> {
        self.device(device)?;
        let limits = BTreeMap::from([(LIMITS.start, STACK_BYTES)]);
        let (device, default_stream) = (device as usize, Handle::NULL);
        let context = self.contexts.add(Context { device, default_stream, failure: None, limits });
        self.contexts.get_mut(context)?.default_stream = self.streams.add(Stream::new(context, Kind::Legacy));
        Ok(context)
    }

    /// Ends a context and everything that belongs to it, once what it was given is done.
    fn destroy_context(&mut self, context: Handle) -> Result<(), Status> {
        self.drain(context);
        let Context { device, .. } = self.contexts.remove(context).map_err(|_| Status::INVALID_CONTEXT)?;
        self.streams.retain(|stream| stream.context != context);
        self.events.retain(|event| event.context != context);
        self.modules.retain(|module| module.context != context);
        let modules = &self.modules;
        self.functions.retain(|function| modules.get(function.module).is_ok());
        self.devices[device].free_all_of(context);
        Ok(())
    }

    fn release_primary(&mut self, device: c_int, all: bool) -> Result<(), Status> {
        self.device(device)?;
        let primary = &mut self.devices[device as usize].primary;
        match primary {
            None if all => Ok(()),
            None => Err(Status::INVALID_CONTEXT),
            Some((_, retained)) if *retained > 1 && !all => {
                *retained -= 1;
                Ok(())
            }
            &mut Some((context, _)) => {
                *primary = None;
                self.destroy_context(context)
            }
        }
    }
}

/// A new context, which becomes current.
fn create(device: c_int) -> Result<Handle, Status> {
    let created = driver::with(|driver| driver.create_context(device))?;
    STACK.with_borrow_mut(|stack| stack.push(created));
    Ok(created)
}

library! {
    fn cuDevicePrimaryCtxRetain(context: Out<Handle>, device: c_int) {
        context.put(driver::with(|driver| {
            driver.device(device)?;
            let (primary, retained) = match driver.devices[device as usize].primary {
                Some(primary) => primary,
                None => (driver.create_context(device)?, 0),
            };
            driver.devices[device as usize].primary = Some((primary, retained + 1));
            Ok(primary)
        })?)
    }

    fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        driver::with(|driver| driver.release_primary(device, false))
    }

    fn cuDevicePrimaryCtxReset_v2(device: c_int) {
        driver::with(|driver| driver.release_primary(device, true))
    }

    fn cuDevicePrimaryCtxGetState(device: c_int, flags: Out<c_uint>, active: Out<c_int>) {
        let primary = driver::with(|driver| Ok(driver.device(device)?.primary))?;
        flags.put(0)?;
        active.put(primary.is_some().into())
    }

    fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, _flags: c_uint) {
        driver::with(|driver| driver.device(device).map(drop))
    }

    fn cuCtxCreate_v2(context: Out<Handle>, _flags: c_uint, device: c_int) {
        context.put(create(device)?)
    }

    fn cuCtxCreate_v4(context: Out<Handle>, parameters: In<Host>, _flags: c_uint, device: c_int) {
        if !parameters.is_null() {
            return Err(Status::NOT_SUPPORTED);
        }
        context.put(create(device)?)
    }

    fn cuCtxDestroy_v2(context: Handle) {
        driver::with(|driver| driver.destroy_context(context))?;
        STACK.with_borrow_mut(|stack| stack.pop_if(|last| *last == context));
        Ok(())
    }

    fn cuCtxGetCurrent(context: Out<Handle>) {
        driver::with(|_| Ok(()))?;
        context.put(current().unwrap_or(Handle::NULL))
    }

    fn cuCtxSetCurrent(context: Handle) {
        let is_null = context == Handle::NULL;
        driver::with(|driver| match driver.contexts.get(context) {
            Err(_) if !is_null => Err(Status::INVALID_CONTEXT),
            _ => Ok(()),
        })?;
        STACK.with_borrow_mut(|stack| {
            stack.pop();
            stack.extend((!is_null).then_some(context));
        });
        Ok(())
    }

    fn cuCtxPushCurrent_v2(context: Handle) {
        driver::with(|driver| driver.contexts.get(context).map(drop).map_err(|_| Status::INVALID_CONTEXT))?;
        STACK.with_borrow_mut(|stack| stack.push(context));
        Ok(())
    }

    fn cuCtxPopCurrent_v2(context: Out<Handle>) {
        driver::with(|_| Ok(()))?;
        let popped = STACK.with_borrow_mut(|stack| stack.pop()).ok_or(Status::INVALID_CONTEXT)?;
        context.put_if_wanted(popped);
        Ok(())
    }

    fn cuCtxGetDevice(device: Out<c_int>) {
        let current = current().ok_or(Status::INVALID_CONTEXT)?;
        let index = driver::with(|driver| driver.contexts.get(current).map(|context| context.device));
        device.put(index.map_err(|_| Status::INVALID_CONTEXT)? as c_int)
    }

    fn cuCtxSynchronize() {
        driver::in_context(|driver, current| {
            driver.refuse_while_capturing(current)?;
            driver.drain(current);
            driver.check(current)
        })
    }

    fn cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) {
        driver::in_context(|_, _| Ok(()))?;
        least.put_if_wanted(0);
        greatest.put_if_wanted(-5);
        Ok(())
    }

    fn cuCtxSetFlags(_flags: c_uint) {
        driver::in_context(|_, _| Ok(()))
    }

    fn cuCtxSetLimit(limit: c_uint, value: usize) {
        driver::in_context(|driver, current| match LIMITS.contains(&limit) {
            true => Ok(driver.contexts.get_mut(current)?.limits.insert(limit, value)),
            false => Err(Status::UNSUPPORTED_LIMIT),
        })?;
        Ok(())
    }

    fn cuCtxGetLimit(value: Out<usize>, limit: c_uint) {
        let known = driver::in_context(|driver, current| match LIMITS.contains(&limit) {
            true => Ok(driver.contexts.get(current)?.limits.get(&limit).copied()),
            false => Err(Status::UNSUPPORTED_LIMIT),
        })?;
        value.put(known.unwrap_or_default())
    }
}
