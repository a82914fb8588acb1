//! Modules: PTX that the driver takes or refuses, and the kernels in it.

use std::ffi::{c_int, c_uint};
use std::fs;
use std::sync::Arc;

use crate::abi::{Handle, Host, In, Out, Text, library};
use crate::device::{Model, SHARED_WITHOUT_ASKING};
use crate::driver::{self, Driver};
use crate::fault::{refusal, refuse};
use crate::status::Status;

/// A module that has been loaded.
pub(crate) struct Module {
    pub(crate) context: Handle,
    pub(crate) code: Arc<ptx::Module>,
    /// 90 for `sm_90`.
    target: u32,
}

/// A kernel of a module.
pub(crate) struct Function {
    pub(crate) module: Handle,
    pub(crate) name: String,
    pub(crate) static_shared_bytes: usize,
    /// Bytes of dynamic shared memory that a launch may ask for.
    pub(crate) max_dynamic_shared_bytes: usize,
    pub(crate) max_threads: u32,
}

/// The first bytes of what is no text: an ELF file, and a container of them.
const BINARIES: [&[u8]; 2] = [b"\x7fELF", b"\x50\xed\x55\xba"];

impl Driver {
    fn load(&mut self, context: Handle, image: &[u8]) -> Result<Handle, Status> {
        self.refuse_unsafe_call()?;
        if BINARIES.iter().any(|magic| image.starts_with(magic)) {
            return refuse(Status::NO_BINARY_FOR_GPU, "machine code: the mock executes PTX alone".to_owned());
        }
        let Ok(text) = std::str::from_utf8(image) else {
            return refuse(Status::INVALID_IMAGE, "neither machine code nor text".to_owned());
        };
        let model = self.devices[self.contexts.get(context)?.device].model;
        check_version(text, self.version)?;
        let target = check_target(text, &model)?;
        match ptx::Module::parse(text) {
            Ok(code) => Ok(self.modules.add(Module { context, code: code.into(), target })),
            Err(error) => refuse(Status::INVALID_PTX, error.to_string()),
        }
    }

    fn function(&mut self, module: Handle, name: &str) -> Result<Handle, Status> {
        let code = &self.modules.get(module)?.code;
        let kernel = code.kernel(name).ok_or(Status::NOT_FOUND)?;
        let static_shared_bytes = kernel.static_shared_bytes;
        Ok(self.functions.add(Function {
            module,
            name: name.to_owned(),
            static_shared_bytes,
            max_dynamic_shared_bytes: SHARED_WITHOUT_ASKING.saturating_sub(static_shared_bytes),
            max_threads: kernel.max_threads.unwrap_or(1024),
        }))
    }

    /// The GPU that a function was loaded for.
    pub(crate) fn model_of(&self, function: Handle) -> Result<Model, Status> {
        let module = self.functions.get(function)?.module;
        let context = self.modules.get(module)?.context;
        Ok(self.devices[self.contexts.get(context)?.device].model)
    }
}

/// What follows a directive at the beginning of a line.
fn directive<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim().strip_prefix(name)?.split(',').next()).map(str::trim)
}

/// Refuses PTX that is newer than the driver. PTX 8.0 is of CUDA 12.0, and so on; CUDA 12.6 kept the 8.5 of its predecessor.
fn check_version(text: &str, driver: c_int) -> Result<(), Status> {
    let (major, minor) = (driver / 1000, driver % 1000 / 10);
    let known = (major - 4, if major == 12 && minor >= 6 { minor - 1 } else { minor });
    let version = directive(text, ".version").and_then(|version| version.split_once('.'));
    let version = version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let Some(version) = version else {
        return refuse(Status::INVALID_PTX, "no .version".to_owned());
    };
    if version > known {
        let why = format!(
            "PTX {}.{}, but a driver of CUDA {major}.{minor} knows {}.{}",
            version.0, version.1, known.0, known.1
        );
        return refuse(Status::UNSUPPORTED_PTX_VERSION, why);
    }
    Ok(())
}

/// Refuses PTX for a newer GPU; for one of another kind if it is specific (`sm_90a`) or of another family (`sm_100f`).
fn check_target(text: &str, model: &Model) -> Result<u32, Status> {
    let target = directive(text, ".target").and_then(|target| target.strip_prefix("sm_")).unwrap_or_default();
    let digits = target.trim_end_matches(['a', 'f']);
    let Ok(number) = digits.parse::<u32>() else {
        return refuse(Status::INVALID_PTX, "no .target".to_owned());
    };
    let own = (10 * model.major + model.minor) as u32;
    let fits = match &target[digits.len()..] {
        "a" => number == own,
        "f" => number <= own && number / 10 == own / 10,
        _ => number <= own,
    };
    if fits { Ok(number) } else { refuse(Status::NO_BINARY_FOR_GPU, format!("sm_{target} on a GPU of sm_{own}")) }
}

fn load(image: &[u8]) -> Result<Handle, Status> {
    driver::in_context(|driver, current| driver.load(current, image))
}

/// `CUfunction_attribute`, as far as it is told.
fn attribute(driver: &Driver, function: Handle, attribute: c_uint) -> Result<usize, Status> {
    let Function { module, static_shared_bytes, max_dynamic_shared_bytes, max_threads, .. } =
        driver.functions.get(function)?;
    let target = driver.modules.get(*module)?.target as usize;
    Ok(match attribute {
        0 => *max_threads as usize,
        1 => *static_shared_bytes,
        // Constants, local memory, the cache's mode: none.
        2 | 3 | 7 => 0,
        // Registers: as many as a full CTA may have.
        4 => 64,
        5 | 6 => target,
        8 => *max_dynamic_shared_bytes,
        _ => return Err(Status::INVALID_VALUE),
    })
}

library! {
    fn cuModuleLoadData(module: Out<Handle>, image: Text) {
        module.put(load(image.bytes()?)?)
    }

    /// Of the options, those of the error log are followed.
    fn cuModuleLoadDataEx(module: Out<Handle>, image: Text, count: c_uint, options: In<c_uint>, values: In<Host>) {
        let loaded = load(image.bytes()?);
        let value = |option| {
            let index = (0..count as usize).find(|&index| options.get(index) == Ok(option));
            index.and_then(|index| values.get(index).ok())
        };
        const LOG: c_uint = 5;
        const LOG_BYTES: c_uint = 6;
        if let (Err(_), Some(log), Some(space)) = (loaded, value(LOG), value(LOG_BYTES)) {
            log.write_text(&refusal(), space.0)?;
        }
        module.put(loaded?)
    }

    fn cuModuleLoad(module: Out<Handle>, path: Text) {
        let image = fs::read(path.string()?).map_err(|_| Status::FILE_NOT_FOUND)?;
        module.put(load(&image)?)
    }

    fn cuModuleUnload(module: Handle) {
        driver::in_context(|driver, _| {
            driver.refuse_unsafe_call()?;
            let context = driver.modules.get(module)?.context;
            // Its code is memory of the device too, and freeing that waits.
            driver.drain(context);
            driver.modules.remove(module)?;
            driver.functions.retain(|function| function.module != module);
            Ok(())
        })
    }

    fn cuModuleGetFunction(function: Out<Handle>, module: Handle, name: Text) {
        let name = name.string()?;
        function.put(driver::in_context(|driver, _| driver.function(module, &name))?)
    }

    /// The executor of PTX knows no global variables.
    fn cuModuleGetGlobal_v2(_address: Out<u64>, _bytes: Out<usize>, module: Handle, _name: Text) {
        driver::in_context(|driver, _| driver.modules.get(module).map(drop))?;
        Err(Status::NOT_FOUND)
    }

    fn cuFuncGetAttribute(value: Out<c_int>, of: c_uint, function: Handle) {
        value.put(driver::in_context(|driver, _| attribute(driver, function, of))? as c_int)
    }

    fn cuFuncSetAttribute(function: Handle, attribute: c_uint, value: c_int) {
        const MAX_DYNAMIC_SHARED_SIZE_BYTES: c_uint = 8;
        const PREFERRED_SHARED_MEMORY_CARVEOUT: c_uint = 9;
        driver::in_context(|driver, _| {
            let largest = driver.model_of(function)?.shared_per_cta;
            let function = driver.functions.get_mut(function)?;
            let bytes = usize::try_from(value).map_err(|_| Status::INVALID_VALUE);
            match attribute {
                MAX_DYNAMIC_SHARED_SIZE_BYTES if bytes? + function.static_shared_bytes <= largest => {
                    function.max_dynamic_shared_bytes = bytes?;
                    Ok(())
                }
                PREFERRED_SHARED_MEMORY_CARVEOUT if (-1..=100).contains(&value) => Ok(()),
                _ => Err(Status::INVALID_VALUE),
            }
        })
    }

    fn cuFuncSetCacheConfig(function: Handle, _config: c_uint) {
        driver::in_context(|driver, _| driver.functions.get(function).map(drop))
    }
}
