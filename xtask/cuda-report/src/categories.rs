//! What machine instructions are for.

/// Names of the categories, in the order in which the report has them.
pub const CATEGORIES: [&str; 9] = [
    "f32 arithmetic",
    "exponentials",
    "minima, maxima",
    "comparisons, selects",
    "unpacking, logic, moves",
    "packing",
    "memory",
    "integers",
    "control",
];

/// What mnemonics of each category begin with; the longest that fits counts.
const PREFIXES: [&[&str]; 9] = [
    &["FADD", "FMUL", "FFMA"],
    &["MUFU"],
    &["FMNMX", "HMNMX", "VHMNMX"],
    &["FSETP", "FSEL", "SEL", "ISETP", "PLOP3", "FSET", "UISETP", "USEL", "P2R", "R2P", "HSETP2"],
    &[
        "PRMT", "LOP3", "SHF", "IMAD.U32", "IMAD.MOV", "MOV", "UMOV", "ULOP3", "USHF", "UPRMT", "CS2R", "IMAD.SHL",
        "HADD2", "HFMA2",
    ],
    &["F2FP", "F2F", "F2I", "I2F"],
    &["LD", "ST", "ULDC", "LDC", "LDCU", "S2R", "S2UR", "R2UR", "MAPA", "CCTL"],
    &[
        "IADD",
        "IMAD",
        "LEA",
        "VIADD",
        "VIMNMX",
        "IMNMX",
        "UIADD",
        "UIMAD",
        "ULEA",
        "UVIADD",
        "VIADDMNMX",
        "IABS",
        "UIMNMX",
        "UVIMNMX",
    ],
    &["BRA", "BSSY", "BSYNC", "EXIT", "NOP", "WARPSYNC", "YIELD", "BREAK", "JMP", "CALL", "RET", "UCGABAR", "DEPBAR"],
];

/// The category of a mnemonic such as `FADD.FTZ`, by its place in [`CATEGORIES`]. A new one is for the table to learn.
pub fn category(mnemonic: &str) -> Result<usize, String> {
    let length = |prefixes: &[&str]| {
        let fitting = prefixes.iter().filter(|prefix| mnemonic.starts_with(**prefix));
        fitting.map(|prefix| prefix.len()).max()
    };
    let longest = (0..PREFIXES.len()).max_by_key(|&category| length(PREFIXES[category]));
    longest
        .filter(|&category| length(PREFIXES[category]).is_some())
        .ok_or_else(|| format!("the category of {mnemonic} is not known"))
}
