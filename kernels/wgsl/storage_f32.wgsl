// The matrix `$matrix` in f32: four elements as bits of f32.

@group(0) @binding($binding) var<storage, $access> $matrix: array<u32>;

// Elements `start .. start + count` (count from 1 to 4), MASKED in the places of those that are not there.
fn load_$matrix(start: u32, count: u32) -> vec4<u32> {
    // No branches: the last element stands in for those behind it.
    let element = start + min(vec4(0u, 1u, 2u, 3u), vec4(count - 1u));
    let bits = vec4($matrix[element.x], $matrix[element.y], $matrix[element.z], $matrix[element.w]);
    return select(vec4(MASKED_BITS), bits, vec4(0u, 1u, 2u, 3u) < vec4(count));
}
// $if writes

fn store_$matrix(start: u32, count: u32, bits: vec4<u32>) {
    if count >= 1u {
        $matrix[start] = bits.x;
    }
    if count >= 2u {
        $matrix[start + 1u] = bits.y;
    }
    if count >= 3u {
        $matrix[start + 2u] = bits.z;
    }
    if count >= 4u {
        $matrix[start + 3u] = bits.w;
    }
}
// $end
