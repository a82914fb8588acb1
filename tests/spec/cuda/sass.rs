//! Machine code as text, and what a loop of it costs at least: for the tests here and for `xtask/cuda-report`.

use std::collections::{BTreeMap, HashMap};

/// A piece of code that is entered at its beginning and left at its end.
#[derive(Debug, Default)]
struct Block {
    mnemonics: Vec<String>,
    successors: Vec<usize>,
}

impl Block {
    /// Exponentials and vector accesses: what a round must not go without.
    fn work(&self) -> usize {
        let is_work = |mnemonic: &&String| {
            let accesses = ["LDG", "STG", "LDS", "STS"].iter().any(|access| mnemonic.starts_with(access));
            is_exponential(mnemonic) || (accesses && (mnemonic.ends_with(".128") || mnemonic.ends_with(".64")))
        };
        self.mnemonics.iter().filter(is_work).count()
    }
}

fn is_exponential(mnemonic: &str) -> bool {
    mnemonic.starts_with("MUFU.EX2")
}

/// What one round of a loop issues, along its cheapest path among those with the most exponentials and vector accesses: rare
/// paths, such as that of a row's last group, move elements one by one; others, such as that of the label, cost more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Exponentials.
    pub special_functions: u32,
    /// What is issued, in order, such as `FADD.FTZ`.
    pub mnemonics: Vec<String>,
}

/// The loops of a kernel that compute exponentials, in the order in which they stand.
pub fn loops(text: &str) -> Vec<Round> {
    let blocks = blocks(text);
    let mut rounds = Vec::new();
    for (last, block) in blocks.iter().enumerate() {
        for &first in block.successors.iter().filter(|&&first| first <= last) {
            // A loop within this one is looked at by itself.
            let has_inner = (first..=last).any(|index| {
                blocks[index].successors.iter().any(|&to| to <= index && to >= first && (to, index) != (first, last))
            });
            if let Some(round) = round(&blocks[first..=last], first).filter(|_| !has_inner) {
                rounds.push(round);
            }
        }
    }
    rounds
}

/// The cheapest way from the first block to the end of the last, for each amount of work on it.
fn round(blocks: &[Block], first: usize) -> Option<Round> {
    let mut reached = vec![BTreeMap::<usize, Vec<String>>::new(); blocks.len()];
    reached[0].insert(0, Vec::new());
    for (index, block) in blocks.iter().enumerate() {
        let through: Vec<(usize, Vec<String>)> = reached[index]
            .iter()
            .map(|(work, path)| (work + block.work(), [&path[..], &block.mnemonics].concat()))
            .collect();
        if index + 1 == blocks.len() {
            let (_, mnemonics) = through.into_iter().next_back()?;
            let special_functions = mnemonics.iter().filter(|mnemonic| is_exponential(mnemonic)).count() as u32;
            return (special_functions > 0).then_some(Round { special_functions, mnemonics });
        }
        for target in block.successors.iter().filter_map(|&to| to.checked_sub(first)) {
            if target > index && target < blocks.len() {
                for (work, path) in &through {
                    let best = reached[target].entry(*work).or_insert_with(|| path.clone());
                    if path.len() < best.len() {
                        best.clone_from(path);
                    }
                }
            }
        }
    }
    None
}

fn blocks(text: &str) -> Vec<Block> {
    let mut labels = HashMap::new();
    let mut blocks = vec![Block::default()];
    let mut branches: Vec<(usize, String)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_suffix(':').filter(|label| label.starts_with(".L")) {
            blocks.push(Block::default());
            let (last, before) = (blocks.len() - 1, blocks.len() - 2);
            blocks[before].successors.push(last);
            labels.insert(label.to_owned(), last);
            continue;
        }
        let Some((_, instruction)) = line.strip_prefix("/*").and_then(|rest| rest.split_once("*/")) else { continue };
        let instruction = instruction.trim();
        let words: Vec<&str> = instruction.split_whitespace().collect();
        let (guarded, mnemonic) = match words.as_slice() {
            [guard, mnemonic, ..] if guard.starts_with('@') => (true, *mnemonic),
            [mnemonic, ..] => (false, *mnemonic),
            [] => continue,
        };
        let last = blocks.len() - 1;
        blocks[last].mnemonics.push(mnemonic.trim_end_matches(';').to_owned());
        if mnemonic.starts_with("BRA") {
            let target = instruction.split("`(").nth(1).and_then(|rest| rest.split(')').next());
            branches.push((last, target.unwrap_or_default().to_owned()));
        }
        if mnemonic.starts_with("BRA") || mnemonic.starts_with("EXIT") || mnemonic.starts_with("RET") {
            blocks.push(Block::default());
            if guarded {
                blocks[last].successors.push(last + 1);
            }
        }
    }
    for (block, target) in branches {
        if let Some(&target) = labels.get(&target) {
            blocks[block].successors.push(target);
        }
    }
    blocks
}
