//! Reading a module: its kernels, with their parameters, shared variables and instructions.

use std::collections::HashMap;
use std::ops::Range;

use crate::decode::decode;
use crate::fault::ParseError;
use crate::instruction::Instruction;
use crate::operands::{Names, Operands, literal, predicate};
use crate::registers::Registers;

/// A module that has been read.
pub struct Module {
    kernels: Vec<Kernel>,
}

/// A kernel of a module.
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// Bytes of its parameters.
    pub parameter_bytes: usize,
    /// Where each parameter lies in them.
    pub parameters: Vec<Range<usize>>,
    /// The most threads of a CTA that it was compiled for, if it says so.
    pub max_threads: Option<u32>,
    /// Bytes of its variables in shared memory.
    pub static_shared_bytes: usize,
    pub(crate) registers: Registers,
    pub(crate) special: HashMap<String, usize>,
    pub(crate) instructions: Vec<Instruction>,
}

impl Module {
    /// Reads a module.
    ///
    /// # Errors
    ///
    /// [`ParseError`] with the line of the first statement that is not known.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let statements = statements(text);
        let mut kernels = Vec::new();
        let mut dynamic = Vec::new();
        let mut rest = statements.as_slice();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if first.text.contains(".entry") {
                let depth_ends = end_of_body(rest);
                kernels.push(Kernel::parse(first, &rest[..depth_ends], &dynamic)?);
                rest = &rest[depth_ends..];
            } else if first.text.starts_with(".extern .shared") {
                let (_, _, name) = variable(&first.text).map_err(|problem| first.error(problem))?;
                dynamic.push(name);
            } else if first.text.contains(".func") {
                return Err(first.error("functions that are called are not supported"));
            }
        }
        Ok(Self { kernels })
    }

    /// The kernel of a name.
    #[must_use]
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }
}

/// A statement, a label, or a brace.
struct Statement {
    line: usize,
    text: String,
}

impl Statement {
    fn error(&self, problem: impl Into<String>) -> ParseError {
        ParseError { line: self.line, problem: problem.into(), text: self.text.clone() }
    }
}

/// Statements without their semicolons, labels with their colons, braces that open and close scopes.
fn statements(text: &str) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut current = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if line.starts_with(".version") || line.starts_with(".target") || line.starts_with(".address_size") {
            continue;
        }
        if line.starts_with(".loc ")
            || line.starts_with(".loc\t")
            || line.starts_with(".file")
            || line.starts_with(".pragma")
        {
            continue;
        }
        for character in line.chars().chain([' ']) {
            let is_brace = matches!(character, '{' | '}');
            // Braces of vectors and initialisers are within a statement.
            let is_scope = is_brace && (current.trim().is_empty() || current.contains(".entry"));
            let is_label = character == ':' && current.trim().starts_with('$');
            match character {
                ';' => {}
                _ if is_scope || is_label => {}
                _ => {
                    current.push(character);
                    continue;
                }
            }
            let mut text = std::mem::take(&mut current).trim().to_owned();
            if is_label {
                text.push(':');
            }
            if !text.is_empty() {
                statements.push(Statement { line: index + 1, text });
            }
            if is_scope {
                statements.push(Statement { line: index + 1, text: character.to_string() });
            }
        }
    }
    statements
}

/// How many statements a body has, its braces among them.
fn end_of_body(statements: &[Statement]) -> usize {
    let mut depth = 0;
    for (index, statement) in statements.iter().enumerate() {
        match statement.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return index + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    statements.len()
}

impl Kernel {
    /// `dynamic` are the names of dynamic shared memory, which follows the kernel's own.
    fn parse(header: &Statement, body: &[Statement], dynamic: &[String]) -> Result<Self, ParseError> {
        let mut names = Names { scopes: vec![HashMap::new()], ..Names::default() };
        let (name, parameters) = parameters(header, &mut names)?;
        let parameter_bytes = parameters.last().map_or(0, |last| last.end);
        // Labels and shared variables first: branches lead forwards too.
        let (mut place, mut shared) = (0, 0);
        for statement in body {
            if statement.text.starts_with(".shared") {
                declare_shared(&statement.text, &mut names, &mut shared).map_err(|problem| statement.error(problem))?;
            }
            match statement.text.strip_suffix(':') {
                Some(label) => drop(names.labels.insert(label.to_owned(), place)),
                None => place += usize::from(is_instruction(&statement.text)),
            }
        }
        for name in dynamic {
            names.addresses.insert(name.clone(), shared.next_multiple_of(16) as u64);
        }
        let mut instructions = Vec::new();
        for statement in body {
            let text = statement.text.as_str();
            let done = match text {
                "{" => {
                    names.scopes.push(HashMap::new());
                    Ok(())
                }
                "}" => {
                    names.scopes.pop();
                    Ok(())
                }
                _ if text.ends_with(':') => Ok(()),
                _ if text.starts_with(".reg") => declare_registers(text, &mut names),
                _ if text.starts_with(".shared") => Ok(()),
                _ if text.starts_with('.') => Err("unknown declaration".to_owned()),
                _ => instruction(statement, &mut names).map(|instruction| instructions.push(instruction)),
            };
            done.map_err(|problem| statement.error(problem))?;
        }
        let (registers, special) = (names.registers, names.special);
        Ok(Self {
            name,
            parameter_bytes,
            parameters,
            max_threads: max_threads(&header.text),
            static_shared_bytes: shared,
            registers,
            special,
            instructions,
        })
    }

    /// Mnemonics of the kernel's instructions, in order.
    pub fn mnemonics(&self) -> impl Iterator<Item = &str> {
        self.instructions.iter().map(|instruction| instruction.mnemonic.as_str())
    }
}

fn is_instruction(text: &str) -> bool {
    !text.starts_with('.') && !matches!(text, "{" | "}")
}

/// Name and parameters of `.visible .entry name( .param …, .param … ) .maxntid …`.
fn parameters(header: &Statement, names: &mut Names) -> Result<(String, Vec<Range<usize>>), ParseError> {
    let after = header.text.split(".entry").nth(1).unwrap_or_default();
    let (name, rest) = after.split_once('(').ok_or_else(|| header.error("a kernel without parameters"))?;
    let list = rest.split(')').next().unwrap_or_default();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for parameter in list.split(',').map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (alignment, size, name) = variable(parameter).map_err(|problem| header.error(problem))?;
        let start = ranges.last().map_or(0, |last| last.end).next_multiple_of(alignment);
        names.addresses.insert(name, start as u64);
        ranges.push(start..start + size);
    }
    Ok((name.trim().to_owned(), ranges))
}

/// The product of the dimensions after `.maxntid` or `.reqntid`.
fn max_threads(header: &str) -> Option<u32> {
    let (_, after) = header.split_once(".maxntid").or_else(|| header.split_once(".reqntid"))?;
    let dimensions = after.split('.').next().unwrap_or_default();
    dimensions.split(',').map(|dimension| dimension.trim().parse::<u32>().ok()).product()
}

/// Alignment, bytes and name of `.param .align 8 .b8 name[160]` or `.param .u64 name`.
fn variable(text: &str) -> Result<(usize, usize, String), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let element = words.iter().find_map(|word| match *word {
        ".b8" | ".u8" | ".s8" => Some(1),
        ".b16" | ".u16" | ".s16" => Some(2),
        ".b32" | ".u32" | ".s32" | ".f32" => Some(4),
        ".b64" | ".u64" | ".s64" | ".f64" => Some(8),
        _ => None,
    });
    let element = element.ok_or_else(|| format!("unknown variable {text}"))?;
    let alignment = words.iter().position(|&word| word == ".align").and_then(|index| words.get(index + 1));
    let alignment = alignment.and_then(|word| word.parse().ok()).unwrap_or(element);
    let name = words.last().copied().unwrap_or_default();
    let (name, count) = name.split_once('[').unwrap_or((name, "1]"));
    let count = count.trim_end_matches(']');
    let count = if count.is_empty() { 0 } else { literal(count).ok_or("an array of unknown size")? };
    Ok((alignment, element * count as usize, name.to_owned()))
}

/// `.reg .b32 %r<10>` or `.reg .b32 a, b`.
fn declare_registers(text: &str, names: &mut Names) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, kind, rest @ ..] = words.as_slice() else { return Err("unknown declaration".to_owned()) };
    for name in rest.join(" ").split(',').map(str::trim) {
        match name.split_once('<') {
            None => names.declare(kind, name)?,
            Some((prefix, count)) => {
                let count: usize = count.trim_end_matches('>').parse().map_err(|_| "unknown count of registers")?;
                for index in 0..count {
                    names.declare(kind, &format!("{prefix}{index}"))?;
                }
            }
        }
    }
    Ok(())
}

fn declare_shared(text: &str, names: &mut Names, end: &mut usize) -> Result<(), String> {
    let (alignment, size, name) = variable(text)?;
    *end = end.next_multiple_of(alignment);
    names.addresses.insert(name, *end as u64);
    *end += size;
    Ok(())
}

fn instruction(statement: &Statement, names: &mut Names) -> Result<Instruction, String> {
    let mut text = statement.text.as_str();
    let mut guard = None;
    if let Some(rest) = text.strip_prefix('@') {
        let (name, after) = rest.split_once(char::is_whitespace).ok_or("a guard alone")?;
        guard = Some(predicate(name, names)?);
        text = after.trim();
    }
    let (mnemonic, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let action = decode(mnemonic, &mut Operands::new(operands.trim(), mnemonic, names))?;
    let (mnemonic, text) = (mnemonic.to_owned(), statement.text.clone());
    Ok(Instruction { action, guard, mnemonic, line: statement.line, text })
}
