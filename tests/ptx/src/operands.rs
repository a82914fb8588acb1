//! The operands of a statement, and the names they are looked up by.

use std::collections::HashMap;

use crate::registers::{Register, Registers};

type Result<T> = std::result::Result<T, String>;

/// The names of a kernel, and the registers that hold its literals.
#[derive(Default)]
pub(crate) struct Names {
    /// The register files as a warp starts with them: literals are filled in.
    pub(crate) registers: Registers,
    /// Declared registers, innermost scope last.
    pub(crate) scopes: Vec<HashMap<String, Register>>,
    pub(crate) literals: HashMap<(bool, u64), Register>,
    /// Special registers, to be filled when a warp starts.
    pub(crate) special: HashMap<String, usize>,
    /// Addresses of parameters and of variables in shared memory.
    pub(crate) addresses: HashMap<String, u64>,
    pub(crate) labels: HashMap<String, usize>,
}

impl Names {
    /// Declares a register of a type such as `.b32`.
    pub(crate) fn declare(&mut self, kind: &str, name: &str) -> Result<()> {
        let register = match kind {
            ".pred" => Register::Predicate(self.registers.add_predicate()),
            ".b16" | ".u16" | ".s16" | ".b32" | ".u32" | ".s32" | ".f32" => Register::Narrow(self.add::<u32>()),
            ".b64" | ".u64" | ".s64" | ".f64" => Register::Wide(self.add::<u64>()),
            other => return Err(format!("unknown register type {other}")),
        };
        let scope = self.scopes.last_mut().ok_or("a register outside a kernel")?;
        scope.insert(name.to_owned(), register);
        Ok(())
    }

    fn add<R: crate::registers::Raw>(&mut self) -> usize {
        R::file_mut(&mut self.registers).add()
    }

    fn literal(&mut self, is_wide: bool, value: u64) -> Register {
        if let Some(&register) = self.literals.get(&(is_wide, value)) {
            return register;
        }
        let register = if is_wide {
            let register = self.add::<u64>();
            crate::registers::Raw::file_mut(&mut self.registers).fill(register, value);
            Register::Wide(register)
        } else {
            let register = self.add::<u32>();
            crate::registers::Raw::file_mut(&mut self.registers).fill(register, value as u32);
            Register::Narrow(register)
        };
        self.literals.insert((is_wide, value), register);
        register
    }

    fn find(&self, name: &str) -> Option<Register> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).copied()
    }
}

/// The operands of one statement.
pub(crate) struct Operands<'a> {
    texts: Vec<String>,
    /// Whether literals among them are 64 bits wide.
    is_wide: bool,
    names: &'a mut Names,
}

impl<'a> Operands<'a> {
    /// `mnemonic` tells how wide literals are.
    pub(crate) fn new(text: &str, mnemonic: &str, names: &'a mut Names) -> Self {
        let is_wide = mnemonic.ends_with("64") && !mnemonic.starts_with("cvt");
        Self { texts: split(text), is_wide, names }
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, index: usize) -> &str {
        self.texts.get(index).map_or("", String::as_str)
    }

    /// The register that an operand is, or that holds it.
    pub(crate) fn lookup(&mut self, text: &str) -> Result<Register> {
        self.lookup_as(text, self.is_wide)
    }

    fn lookup_as(&mut self, text: &str, is_wide: bool) -> Result<Register> {
        if let Some(register) = self.names.find(text) {
            return Ok(register);
        }
        if let Some(name) = text.strip_prefix('%') {
            if let Some(&register) = self.names.special.get(name) {
                return Ok(Register::Narrow(register));
            }
            if !SPECIAL.contains(&name) {
                return Err(format!("unknown register {text}"));
            }
            let register = self.names.add::<u32>();
            self.names.special.insert(name.to_owned(), register);
            return Ok(Register::Narrow(register));
        }
        if let Some(&address) = self.names.addresses.get(text) {
            return Ok(self.names.literal(is_wide, address));
        }
        let value = literal(text).ok_or_else(|| format!("unknown operand {text}"))?;
        Ok(self.names.literal(is_wide, value))
    }

    pub(crate) fn register(&mut self, index: usize) -> Result<Register> {
        let text = self.text(index).to_owned();
        self.lookup(&text)
    }

    /// The number of an operand's register within its file.
    pub(crate) fn index(&mut self, index: usize) -> Result<usize> {
        let text = self.text(index).to_owned();
        match self.lookup(&text)? {
            Register::Narrow(register) | Register::Wide(register) | Register::Predicate(register) => Ok(register),
        }
    }

    /// A narrow operand.
    pub(crate) fn narrow(&mut self, index: usize) -> Result<usize> {
        let text = self.text(index).to_owned();
        match self.lookup_as(&text, false)? {
            Register::Narrow(register) => Ok(register),
            other => Err(format!("{other:?} where a 32-bit register is due")),
        }
    }

    /// A wide operand.
    pub(crate) fn wide(&mut self, index: usize) -> Result<usize> {
        let text = self.text(index).to_owned();
        match self.lookup_as(&text, true)? {
            Register::Wide(register) => Ok(register),
            other => Err(format!("{other:?} where a 64-bit register is due")),
        }
    }

    /// A predicate, and whether it is negated.
    pub(crate) fn predicate(&mut self, index: usize) -> Result<(usize, bool)> {
        let text = self.text(index).to_owned();
        predicate(&text, self.names)
    }

    /// The first of two destinations written as `d|p`.
    pub(crate) fn first_of_pipe(&mut self, index: usize) -> Result<usize> {
        let text = self.text(index).split('|').next().unwrap_or_default().trim().to_owned();
        match self.lookup_as(&text, false)? {
            Register::Narrow(register) => Ok(register),
            other => Err(format!("{other:?} where a 32-bit register is due")),
        }
    }

    pub(crate) fn label(&self, index: usize) -> Result<usize> {
        let name = self.text(index);
        self.names.labels.get(name).copied().ok_or_else(|| format!("unknown label {name}"))
    }

    /// Two registers written as `{a, b}`.
    pub(crate) fn pair(&self, index: usize) -> Option<(String, String)> {
        let inner = self.text(index).strip_prefix('{')?.strip_suffix('}')?;
        let (low, high) = inner.split_once(',')?;
        Some((low.trim().to_owned(), high.trim().to_owned()))
    }

    /// A register, or those of a vector.
    pub(crate) fn vector(&mut self, index: usize) -> Result<Vec<Register>> {
        let text = self.text(index).to_owned();
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(inner) => inner.split(',').map(|name| self.lookup(name.trim())).collect(),
            None => Ok(vec![self.lookup(&text)?]),
        }
    }

    /// `[register + number]` or `[name + number]`.
    pub(crate) fn address(&mut self, index: usize) -> Result<(Register, i64)> {
        let text = self.text(index).to_owned();
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let inner = inner.ok_or_else(|| format!("{text} is no address"))?;
        let (base, offset) = inner.split_once('+').unwrap_or((inner, "0"));
        let offset = literal(offset.trim()).ok_or_else(|| format!("{offset} is no offset"))?;
        Ok((self.lookup_as(base.trim(), true)?, offset as i64))
    }
}

/// A predicate of a guard or an operand, such as `%p1` or `!%p1`.
pub(crate) fn predicate(text: &str, names: &Names) -> Result<(usize, bool)> {
    let name = text.strip_prefix('!').unwrap_or(text);
    match names.find(name) {
        Some(Register::Predicate(register)) => Ok((register, name != text)),
        _ => Err(format!("{text} is no predicate")),
    }
}

/// Special registers that a warp knows when it starts.
const SPECIAL: [&str; 12] = [
    "tid.x",
    "tid.y",
    "tid.z",
    "ntid.x",
    "ctaid.x",
    "nctaid.x",
    "laneid",
    "cluster_ctarank",
    "cluster_nctarank",
    "cluster_ctaid.x",
    "clusterid.x",
    "nclusterid.x",
];

/// Splits at commas that are not within braces or brackets.
fn split(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut depth, mut current) = (0, String::new());
    for character in text.chars() {
        match character {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(current.trim().to_owned());
                current.clear();
                continue;
            }
            _ => {}
        }
        current.push(character);
    }
    if !current.trim().is_empty() {
        parts.push(current.trim().to_owned());
    }
    parts
}

/// The bits of a number: decimal, hexadecimal, or a float's bits as `0f…` and `0d…`.
pub(crate) fn literal(text: &str) -> Option<u64> {
    let hexadecimal = ["0f", "0F", "0d", "0D", "0x", "0X"].iter().find_map(|prefix| text.strip_prefix(prefix));
    if let Some(digits) = hexadecimal {
        return u64::from_str_radix(digits.trim_end_matches('U'), 16).ok();
    }
    text.parse::<i64>().map(i64::cast_unsigned).or_else(|_| text.trim_end_matches('U').parse::<u64>()).ok()
}
