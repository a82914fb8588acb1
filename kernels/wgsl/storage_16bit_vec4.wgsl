// The matrix `$matrix` in a 16-bit type, whose rows start at multiples of four elements: four elements as bits of f32.

@group(0) @binding($binding) var<storage, $access> $matrix: array<vec2<u32>>;

// Elements `start .. start + count` (count from 1 to 4), MASKED in the places of those that are not there.
fn load_$matrix(start: u32, count: u32) -> vec4<u32> {
    let words = $matrix[start / 4u];
    let bits = $type_to_f32(vec4(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u));
    return select(vec4(MASKED_BITS), bits, vec4(0u, 1u, 2u, 3u) < vec4(count));
}
// $if writes

// `count` is 4: the rows of a matrix that is written in vectors are whole vectors.
fn store_$matrix(start: u32, count: u32, bits: vec4<u32>) {
    let halves = $type_from_f32(bits);
    $matrix[start / 4u] = vec2(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}
// $end
