//! Running a snippet in a kernel of one warp, or a kernel in a launch of any shape.

use ptx::{Access, Buffer, Fault, FaultKind, Launch, Memory, Module, Options, Report, launch};

/// The registers that every snippet finds declared. Their values at the start are told at [`Scene::run`].
const REGISTERS: &str = "
    .reg .pred %p<10>;
    .reg .b16 %h<10>;
    .reg .b32 %r<20>, %a, %b, %c, %d, %lane, %tid, %cta;
    .reg .f32 %f<20>;
    .reg .b64 %x<20>, %wa, %wb, %wc, %wd, %buffer<4>, %place, %slot;
    .reg .f64 %g<10>;
";

/// A launch, and the memory that it runs on.
pub(crate) struct Scene {
    pub(crate) grid: u32,
    pub(crate) threads: u32,
    pub(crate) cluster: u32,
    /// Bytes of dynamic shared memory, which snippets know as `dynamic`.
    pub(crate) shared: usize,
    pub(crate) options: Options,
    pub(crate) memory: Memory,
    pub(crate) buffers: Vec<Buffer>,
}

impl Default for Scene {
    /// One warp.
    fn default() -> Self {
        let (memory, options) = (Memory::new(), Options::default());
        Self { grid: 1, threads: 32, cluster: 1, shared: 0, options, memory, buffers: Vec::new() }
    }
}

impl Scene {
    /// The next parameter: a buffer that holds these words.
    pub(crate) fn words(&mut self, words: &[u32], access: Access) -> Buffer {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let name = format!("buffer{}", self.buffers.len());
        self.buffers.push(self.memory.allocate(&name, &bytes, access, 0));
        self.buffers[self.buffers.len() - 1]
    }

    /// The next parameter: a buffer of so many bytes that nobody has written.
    pub(crate) fn fresh(&mut self, len: usize) -> Buffer {
        let name = format!("buffer{}", self.buffers.len());
        self.buffers.push(self.memory.allocate_fresh(&name, len, Access::ReadWrite, 0));
        self.buffers[self.buffers.len() - 1]
    }

    /// What a buffer holds.
    pub(crate) fn read(&self, buffer: Buffer) -> Vec<u32> {
        let (words, _) = self.memory.bytes(buffer).as_chunks();
        words.iter().map(|&word| u32::from_le_bytes(word)).collect()
    }

    /// Runs a snippet as a kernel that begins with the buffers' addresses in `%buffer0`, `%buffer1` and so on, and with
    /// `%lane`, `%tid` and `%cta`; in `%place`, the thread's word of a buffer that begins with one for each thread.
    pub(crate) fn run(&mut self, snippet: &str) -> Result<Report, Fault> {
        self.run_text(&self.text(snippet))
    }

    /// The fault that a snippet commits.
    pub(crate) fn fault(&mut self, snippet: &str) -> Fault {
        self.run(snippet).expect_err("a fault is due")
    }

    /// The kind of the fault that a snippet commits.
    pub(crate) fn kind(&mut self, snippet: &str) -> FaultKind {
        self.fault(snippet).kind
    }

    /// The module that [`Self::run`] makes of a snippet.
    pub(crate) fn text(&self, snippet: &str) -> String {
        let count = self.buffers.len();
        let parameters: Vec<String> = (0..count).map(|index| format!(".param .u64 parameter{index}")).collect();
        let loads: Vec<String> =
            (0..count).map(|index| format!("ld.param.u64 %buffer{index}, [parameter{index}];")).collect();
        let place = if count == 0 {
            ""
        } else {
            "mov.u32 %r0, %ntid.x; mad.lo.u32 %r0, %r0, %cta, %tid; mul.wide.u32 %place, %r0, 4;
             add.u64 %place, %place, %buffer0;"
        };
        format!(
            ".version 8.0\n.target sm_90\n.address_size 64\n.extern .shared .align 16 .b8 dynamic[];
            .visible .entry snippet({})\n{{\n{REGISTERS}
            mov.u32 %lane, %laneid;\nmov.u32 %tid, %tid.x;\nmov.u32 %cta, %ctaid.x;\n{}\n{place}\n{snippet}\nret;\n}}\n",
            parameters.join(", "),
            loads.join("\n"),
        )
    }

    /// Runs the kernel `snippet` of a module, with the addresses of the buffers as its parameters.
    pub(crate) fn run_text(&mut self, text: &str) -> Result<Report, Fault> {
        let module = Module::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let kernel = module.kernel("snippet").expect("the kernel");
        let addresses = self.buffers.iter().flat_map(|&buffer| self.memory.address(buffer).to_le_bytes());
        let parameters: Vec<u8> = addresses.collect();
        let shape = Launch {
            grid: self.grid,
            threads: self.threads,
            cluster: self.cluster,
            dynamic_shared_bytes: self.shared,
            parameters: &parameters,
        };
        launch(kernel, &shape, &mut self.memory, &self.options)
    }
}

/// The `%d` that each lane of one warp is left with.
pub(crate) fn lanes(snippet: &str) -> [u32; 32] {
    let mut scene = Scene::default();
    let out = scene.fresh(128);
    scene.run(&format!("{snippet}\nst.global.u32 [%place], %d;")).unwrap_or_else(|fault| panic!("{fault}"));
    scene.read(out).try_into().expect("32 lanes")
}

/// What `%d` becomes for each of some operands `%a`, `%b` and `%c`.
pub(crate) fn narrow<const N: usize>(snippet: &str, cases: &[([u32; N], u32)]) {
    let operands: Vec<_> = cases.iter().map(|(operands, _)| operands.map(u64::from)).collect();
    let results = each(&format!("{snippet}\ncvt.u64.u32 %wd, %d;"), &operands, Options::default());
    for ((operands, expected), result) in cases.iter().zip(results) {
        assert_eq!(result, u64::from(*expected), "{snippet} of {operands:#010x?}: {result:#x} for {expected:#x}");
    }
}

/// What `%wd` becomes for each of some operands `%wa`, `%wb` and `%wc`, whose lower halves are `%a`, `%b` and `%c`.
pub(crate) fn wide<const N: usize>(snippet: &str, cases: &[([u64; N], u64)]) {
    let operands: Vec<_> = cases.iter().map(|(operands, _)| *operands).collect();
    let results = each(snippet, &operands, Options::default());
    for ((operands, expected), result) in cases.iter().zip(results) {
        assert_eq!(result, *expected, "{snippet} of {operands:#018x?}: {result:#x} for {expected:#x}");
    }
}

/// The `%wd` of each of some operands, a lane for each.
pub(crate) fn each<const N: usize>(snippet: &str, operands: &[[u64; N]], options: Options) -> Vec<u64> {
    let mut results = Vec::new();
    for chunk in operands.chunks(32) {
        let mut scene = Scene { options, ..Scene::default() };
        let out = scene.fresh(256);
        let lane = |lane: usize| chunk.get(lane).unwrap_or(&chunk[0]);
        let columns: Vec<u32> = (0..N)
            .flat_map(|column| (0..32).map(move |index| lane(index)[column]))
            .flat_map(|value| [value as u32, (value >> 32) as u32])
            .collect();
        scene.words(&columns, Access::Read);
        let loads: Vec<String> = ["a", "b", "c"][..N]
            .iter()
            .enumerate()
            .map(|(column, name)| {
                format!("ld.global.u64 %w{name}, [%slot+{}]; cvt.u32.u64 %{name}, %w{name};", 256 * column)
            })
            .collect();
        let text = format!(
            "mul.wide.u32 %slot, %lane, 8; add.u64 %place, %slot, %buffer0; add.u64 %slot, %slot, %buffer1;
            {}\n{snippet}\nst.global.u64 [%place], %wd;",
            loads.join("\n"),
        );
        scene.run(&text).unwrap_or_else(|fault| panic!("{fault}"));
        let (words, _) = scene.memory.bytes(out).as_chunks();
        results.extend(words.iter().take(chunk.len()).map(|&word| u64::from_le_bytes(word)));
    }
    results
}

/// The bits of an `f32`.
pub(crate) fn f(x: f32) -> u32 {
    x.to_bits()
}

/// The bits of an `f64`.
pub(crate) fn g(x: f64) -> u64 {
    x.to_bits()
}

/// The one NaN that PTX makes of `f32`.
pub(crate) const NAN: u32 = 0x7fff_ffff;
pub(crate) const INFINITY: u32 = 0x7f80_0000;
pub(crate) const MINUS: u32 = 0x8000_0000;
