// The matrix `$matrix` in f32, whose rows start at multiples of four elements: four elements as bits of f32.

@group(0) @binding($binding) var<storage, $access> $matrix: array<vec4<u32>>;

// Elements `start .. start + count` (count from 1 to 4), MASKED in the places of those that are not there.
fn load_$matrix(start: u32, count: u32) -> vec4<u32> {
    return select(vec4(MASKED_BITS), $matrix[start / 4u], vec4(0u, 1u, 2u, 3u) < vec4(count));
}
// $if writes

// `count` is 4: the rows of a matrix that is written in vectors are whole vectors.
fn store_$matrix(start: u32, count: u32, bits: vec4<u32>) {
    $matrix[start / 4u] = bits;
}
// $end
