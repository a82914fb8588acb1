//! NVIDIA's run-time compiler, opened when it is first needed. It needs neither a GPU nor a driver.
//!
//! The library is looked for under the path in `KDLOSS_NVRTC`, then by the names that CUDA 13, 12 and 11 give it, on the
//! system's search path and in the toolkit's folder. If it is missing, that is an error, never a panic.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr;
use std::sync::OnceLock;

use libloading::Library;

use super::specialisation::{Specialisation, source};
use crate::error::{Error, Result};

/// What NVRTC makes of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compiled {
    /// PTX, which a driver compiles further.
    pub ptx: String,
    /// Machine code, for an architecture `sm_…`; empty for `compute_…`.
    pub cubin: Vec<u8>,
}

/// Compiles a kernel for an architecture: `compute_90` gives PTX, `sm_90` machine code too.
///
/// # Errors
///
/// [`Error::NoCompiler`] where NVRTC is not to be found, [`Error::CompileFailed`] with its log.
pub fn compile(specialisation: &Specialisation, architecture: &str) -> Result<Compiled> {
    compile_source(&source(), &specialisation.options(), architecture)
}

/// Compiles a source with options of one's own: the tests break kernels on purpose.
#[doc(hidden)]
pub fn compile_source(source: &str, options: &[String], architecture: &str) -> Result<Compiled> {
    let nvrtc = nvrtc()?;
    let mut options = options.to_vec();
    options.push(format!("--gpu-architecture={architecture}"));
    let failed = |log: String| Error::CompileFailed { architecture: architecture.to_owned(), log };
    let program = Program::new(nvrtc, source).ok_or_else(|| failed("the source cannot be read".to_owned()))?;
    if !program.compile(&options) {
        return Err(failed(program.log()));
    }
    Ok(Compiled {
        ptx: text_of(program.text(nvrtc.get_ptx_size, nvrtc.get_ptx)),
        cubin: program.text(nvrtc.get_cubin_size, nvrtc.get_cubin),
    })
}

/// NVRTC's version, as in `12.9`.
///
/// # Errors
///
/// [`Error::NoCompiler`].
pub fn version() -> Result<String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the pointers are to two integers.
    unsafe { (nvrtc()?.version)(&mut major, &mut minor) };
    Ok(format!("{major}.{minor}"))
}

/// The name of the library that was opened.
///
/// # Errors
///
/// [`Error::NoCompiler`].
pub fn library() -> Result<&'static str> {
    Ok(&nvrtc()?.name)
}

/// The best that NVRTC can compile for a compute capability such as 90: its machine code, else PTX of an older one, which
/// the driver compiles further.
///
/// # Errors
///
/// [`Error::NoCompiler`]; [`Error::CompileFailed`] where NVRTC knows newer GPUs only.
pub fn architecture_for(capability: u32) -> Result<String> {
    let nvrtc = nvrtc()?;
    let mut count = 0;
    // SAFETY: the pointer is to an integer.
    unsafe { (nvrtc.get_architecture_count)(&mut count) };
    let mut known = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: there is room for as many numbers as there were said to be.
    unsafe { (nvrtc.get_architectures)(known.as_mut_ptr()) };
    let known = known.into_iter().filter_map(|architecture| u32::try_from(architecture).ok());
    match known.filter(|&architecture| architecture <= capability).max() {
        Some(architecture) if architecture == capability => Ok(format!("sm_{architecture}")),
        Some(architecture) => Ok(format!("compute_{architecture}")),
        None => Err(Error::CompileFailed {
            architecture: format!("sm_{capability}"),
            log: format!("{} only knows newer GPUs: set KDLOSS_NVRTC to the full path of an older one", nvrtc.name),
        }),
    }
}

/// The library, opened when it is first asked for.
fn nvrtc() -> Result<&'static Nvrtc> {
    static NVRTC: OnceLock<Result<Nvrtc>> = OnceLock::new();
    NVRTC.get_or_init(Nvrtc::open).as_ref().map_err(Clone::clone)
}

/// `nvrtcProgram`, and the functions on it.
type Handle = *mut c_void;
type GetSize = unsafe extern "C" fn(Handle, *mut usize) -> c_int;
type Get = unsafe extern "C" fn(Handle, *mut c_char) -> c_int;
type Create = unsafe extern "C" fn(
    *mut Handle,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;

const SUCCESS: c_int = 0;

/// The library's functions.
struct Nvrtc {
    create: Create,
    compile: unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> c_int,
    destroy: unsafe extern "C" fn(*mut Handle) -> c_int,
    get_log_size: GetSize,
    get_log: Get,
    get_ptx_size: GetSize,
    get_ptx: Get,
    get_cubin_size: GetSize,
    get_cubin: Get,
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int,
    get_architecture_count: unsafe extern "C" fn(*mut c_int) -> c_int,
    get_architectures: unsafe extern "C" fn(*mut c_int) -> c_int,
    name: String,
    /// Keeps the functions where they are.
    _library: Library,
}

impl Nvrtc {
    fn open() -> Result<Self> {
        let mut tried = Vec::new();
        for path in candidates() {
            // SAFETY: loading NVRTC runs its initialisers, which have no preconditions.
            match unsafe { Library::new(&path) } {
                Ok(library) => match Self::bind(path.display().to_string(), library) {
                    Ok(nvrtc) => return Ok(nvrtc),
                    Err(error) => tried.push(format!("{} ({error})", path.display())),
                },
                Err(_) => tried.push(path.display().to_string()),
            }
        }
        Err(Error::NoCompiler { tried: tried.join(", ") })
    }

    fn bind(name: String, library: Library) -> std::result::Result<Self, libloading::Error> {
        // SAFETY: the types are those of nvrtc.h, which have not changed since CUDA 11.2.
        unsafe {
            Ok(Self {
                create: *library.get(b"nvrtcCreateProgram")?,
                compile: *library.get(b"nvrtcCompileProgram")?,
                destroy: *library.get(b"nvrtcDestroyProgram")?,
                get_log_size: *library.get(b"nvrtcGetProgramLogSize")?,
                get_log: *library.get(b"nvrtcGetProgramLog")?,
                get_ptx_size: *library.get(b"nvrtcGetPTXSize")?,
                get_ptx: *library.get(b"nvrtcGetPTX")?,
                get_cubin_size: *library.get(b"nvrtcGetCUBINSize")?,
                get_cubin: *library.get(b"nvrtcGetCUBIN")?,
                version: *library.get(b"nvrtcVersion")?,
                get_architecture_count: *library.get(b"nvrtcGetNumSupportedArchs")?,
                get_architectures: *library.get(b"nvrtcGetSupportedArchs")?,
                name,
                _library: library,
            })
        }
    }
}

/// Where NVRTC may be, best first.
fn candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("KDLOSS_NVRTC") {
        return vec![path.into()];
    }
    let names: &[&str] = if cfg!(windows) {
        &["nvrtc64_130_0.dll", "nvrtc64_120_0.dll", "nvrtc64_112_0.dll"]
    } else {
        &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"]
    };
    let toolkits = ["CUDA_PATH", "CUDA_HOME"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let toolkits: Vec<PathBuf> = toolkits.chain((!cfg!(windows)).then(|| "/usr/local/cuda".into())).collect();
    let folders = toolkits.iter().flat_map(|toolkit| ["lib64", "bin"].map(|folder| toolkit.join(folder)));
    let folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
    let in_folders = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    names.iter().map(PathBuf::from).chain(in_folders).collect()
}

/// A program of NVRTC's, destroyed with this.
struct Program<'a> {
    nvrtc: &'a Nvrtc,
    handle: Handle,
}

impl<'a> Program<'a> {
    fn new(nvrtc: &'a Nvrtc, source: &str) -> Option<Self> {
        let source = CString::new(source).ok()?;
        let mut handle = ptr::null_mut();
        // SAFETY: both strings end in NUL and live through the call, which copies them; there are no headers.
        let status = unsafe {
            (nvrtc.create)(&mut handle, source.as_ptr(), c"distillation.cu".as_ptr(), 0, ptr::null(), ptr::null())
        };
        (status == SUCCESS).then_some(Self { nvrtc, handle })
    }

    fn compile(&self, options: &[String]) -> bool {
        let options: Vec<CString> = options.iter().filter_map(|option| CString::new(option.as_str()).ok()).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the handle is a program's until `drop`; the pointers are to strings that live through the call.
        unsafe { (self.nvrtc.compile)(self.handle, pointers.len() as c_int, pointers.as_ptr()) == SUCCESS }
    }

    fn log(&self) -> String {
        text_of(self.text(self.nvrtc.get_log_size, self.nvrtc.get_log)).trim().to_owned()
    }

    /// What a pair of functions tells of the program: nothing if they fail.
    fn text(&self, get_size: GetSize, get: Get) -> Vec<u8> {
        let mut size = 0;
        // SAFETY: the handle is a program's until `drop`.
        if unsafe { get_size(self.handle, &mut size) } != SUCCESS {
            return Vec::new();
        }
        let mut text = vec![0u8; size];
        // SAFETY: the buffer has the size that was asked for.
        if unsafe { get(self.handle, text.as_mut_ptr().cast()) } == SUCCESS { text } else { Vec::new() }
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is a program's, and not used after this.
        unsafe { (self.nvrtc.destroy)(&mut self.handle) };
    }
}

/// Text without the NUL that ends it.
fn text_of(mut bytes: Vec<u8>) -> String {
    bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
    String::from_utf8_lossy(&bytes).into_owned()
}
