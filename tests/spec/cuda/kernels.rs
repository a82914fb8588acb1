//! Kernels as NVRTC compiles them, each once, and read for the executor.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use kdloss::cuda::nvrtc::compile_source;
use kdloss::cuda::specialisation::{Specialisation, source};
use ptx::Module;

/// A change of the kernels' source and of the compiler's options.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Edit {
    pub from: &'static str,
    pub to: &'static str,
    pub options: Vec<String>,
}

type Key = (Specialisation, &'static str, Edit);

/// A kernel that one thread compiles while others wait for it; `None` if it does not compile.
type Place = Arc<OnceLock<Option<Module>>>;

static MODULES: LazyLock<Mutex<HashMap<Key, Place>>> = LazyLock::new(Mutex::default);

/// Whether NVRTC is there. Where it is not the tests say so, and fail if they are to prove something (`CI` is set).
pub fn are_there() -> bool {
    static THERE: LazyLock<bool> = LazyLock::new(|| {
        let result = compile_source("extern \"C\" __global__ void nothing() {}", &[], "compute_90");
        match result {
            Ok(_) => true,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "the CUDA kernels must be tested here: {error}");
                eprintln!("skipped: CUDA kernels: {error}");
                false
            }
        }
    });
    *THERE
}

/// The PTX of a kernel.
pub fn ptx(specialisation: &Specialisation, architecture: &str, edit: &Edit) -> kdloss::Result<String> {
    let source = if edit.from.is_empty() { source() } else { source().replace(edit.from, edit.to) };
    let options = [specialisation.options(), edit.options.clone()].concat();
    Ok(compile_source(&source, &options, architecture)?.ptx)
}

/// Runs `use_it` with a kernel, compiled if it has not been yet; `None` if an edit made it one that does not compile.
pub fn with_module<R>(
    specialisation: &Specialisation,
    architecture: &'static str,
    edit: &Edit,
    use_it: impl FnOnce(Option<&Module>) -> R,
) -> R {
    let key = (*specialisation, architecture, edit.clone());
    let place = Arc::clone(MODULES.lock().unwrap().entry(key).or_default());
    let module = place.get_or_init(|| match ptx(specialisation, architecture, edit) {
        Ok(text) => Some(Module::parse(&text).unwrap_or_else(|error| panic!("{specialisation:?}: {error}"))),
        Err(error) if edit.from.is_empty() => panic!("{specialisation:?}: {error}"),
        Err(_) => None,
    });
    use_it(module.as_ref())
}
