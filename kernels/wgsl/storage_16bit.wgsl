// The matrix `$matrix` in a 16-bit type, two elements to a word: four elements as bits of f32.

@group(0) @binding($binding) var<storage, $access> $matrix: array<u32>;

// Elements `start .. start + count` (count from 1 to 4), MASKED in the places of those that are not there.
fn load_$matrix(start: u32, count: u32) -> vec4<u32> {
    // No branches: four halves lie in two or three words, of which the last one stands in for those behind it.
    let word = min(start / 2u + vec3(0u, 1u, 2u), vec3((start + count - 1u) / 2u));
    let words = vec3($matrix[word.x], $matrix[word.y], $matrix[word.z]);
    let even = vec4(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u);
    let odd = vec4(even.yzw, words.z & 0xffffu);
    let bits = $type_to_f32(select(even, odd, vec4(start % 2u == 1u)));
    return select(vec4(MASKED_BITS), bits, vec4(0u, 1u, 2u, 3u) < vec4(count));
}
// $if writes

// `start` is even. The other half of a last, half-used word belongs to nobody, and keeps its value.
fn store_$matrix(start: u32, count: u32, bits: vec4<u32>) {
    let halves = $type_from_f32(bits);
    let word = start / 2u;
    if count >= 2u {
        $matrix[word] = halves.x | (halves.y << 16u);
    } else if count == 1u {
        $matrix[word] = halves.x | ($matrix[word] & 0xffff0000u);
    }
    if count >= 4u {
        $matrix[word + 1u] = halves.z | (halves.w << 16u);
    } else if count == 3u {
        $matrix[word + 1u] = halves.z | ($matrix[word + 1u] & 0xffff0000u);
    }
}
// $end
