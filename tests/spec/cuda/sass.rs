//! Machine code as text, and what a loop of it costs at least.

use std::collections::{BTreeMap, HashMap};

/// A piece of code that is entered at its beginning and left at its end.
#[derive(Debug, Default)]
struct Block {
    instructions: u32,
    special_functions: u32,
    successors: Vec<usize>,
}

/// What one round of a loop issues, along its cheapest path among those with the most exponentials: rare paths, such as that
/// of a row's last group, have as many and cost more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Round {
    pub special_functions: u32,
    pub instructions: u32,
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

/// The cheapest way from the first block to the end of the last, for each number of exponentials on it.
fn round(blocks: &[Block], first: usize) -> Option<Round> {
    let mut reached = vec![BTreeMap::<u32, u32>::new(); blocks.len()];
    reached[0].insert(0, 0);
    for index in 0..blocks.len() {
        let block = &blocks[index];
        let through: Vec<(u32, u32)> = reached[index]
            .iter()
            .map(|(special, cost)| (special + block.special_functions, cost + block.instructions))
            .collect();
        if index + 1 == blocks.len() {
            let (special_functions, instructions) = *through.last()?;
            return (special_functions > 0).then_some(Round { special_functions, instructions });
        }
        for target in block.successors.iter().filter_map(|&to| to.checked_sub(first)) {
            if target > index && target < blocks.len() {
                for &(special, cost) in &through {
                    let best = reached[target].entry(special).or_insert(u32::MAX);
                    *best = cost.min(*best);
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
        blocks[last].instructions += 1;
        blocks[last].special_functions += u32::from(mnemonic.starts_with("MUFU.EX2"));
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
