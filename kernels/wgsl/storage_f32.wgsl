// The matrix `$matrix` in f32: four elements as bits of f32.

@group(0) @binding($binding) var<storage, $access> $matrix: array<u32>;

// Elements `start .. start + count` (count from 0 to 4), MASKED in the places of those that are not there.
fn load_$matrix(start: u32, count: u32) -> vec4<u32> {
    var bits = vec4(MASKED_BITS);
    if count >= 4u {
        bits = vec4($matrix[start], $matrix[start + 1u], $matrix[start + 2u], $matrix[start + 3u]);
    } else {
        for (var index = 0u; index < count; index++) {
            bits[index] = $matrix[start + index];
        }
    }
    return bits;
}
// $if writes

fn store_$matrix(start: u32, count: u32, bits: vec4<u32>) {
    for (var index = 0u; index < min(count, 4u); index++) {
        $matrix[start + index] = bits[index];
    }
}
// $end
