// A long sum as a binary counter, without an array: level_k is the sum of 2^k consecutive blocks of a lane, where bit k of
// the number of blocks is set. The sum of n blocks is a tree of depth log2(n): a chain of additions would lose addends below
// half of the last digit of the running sum, always in the same direction.
//
// There are as many levels as wide rows need. What the last of them carries goes to `beyond`, a chain.

struct Levels {
    blocks: u32,
    beyond: vec3<f32>,
// $each level
    level_$level: vec3<f32>,
// $end
}

// A number that no compiler can look through: one that regroups additions must stop at it.
fn opaque(sum: vec3<f32>) -> vec3<f32> {
    return bitcast<vec3<f32>>(bitcast<vec3<u32>>(sum) ^ params.zeros.xyz);
}

// Adds a block: it fills the lowest empty level, together with what the levels below it hold.
fn push(levels: ptr<function, Levels>, block: vec3<f32>) {
    let blocks = (*levels).blocks;
    (*levels).blocks = blocks + 1u;
    let filled = (blocks & ~(blocks + 1u)) + 1u;
    var sum = opaque(block);
// $each level
    if filled > (1u << $levelu) {
        sum = (*levels).level_$level + sum;
    } else if filled == (1u << $levelu) {
        (*levels).level_$level = sum;
    }
// $end
    if filled >= (1u << LEVELS) {
        (*levels).beyond += sum;
    }
}

// The sum of all blocks and of what is left over, from the smallest sum to the largest.
fn total_of(levels: Levels, rest: vec3<f32>) -> vec3<f32> {
    var sum = opaque(rest);
// $each level
    if (levels.blocks & (1u << $levelu)) != 0u {
        sum = levels.level_$level + sum;
    }
// $end
    return levels.beyond + sum;
}
