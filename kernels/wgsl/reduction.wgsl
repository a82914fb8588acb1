// What the rows, and the batch, have in common: how terms are mixed, and how they become bits.

// A number of rows to divide by. A term that no row counts for has a sum of 0, which any divisor leaves as it is.
fn row_count(rows: u32) -> f32 {
    return f32(max(rows, 1u));
}

// Bits of both terms and of their mix.
struct Terms {
    hard: u32,
    soft: u32,
    total: u32,
}

// A term is NaN or infinite by the status of the rows that enter it, not by arithmetic.
fn term_bits(value: f32, status: u32, is_infinite: u32) -> u32 {
    let finite_or_not = select(bitcast<u32>(value), INFINITY_BITS, (status & is_infinite) != 0u);
    return select(finite_or_not, NAN_BITS, (status & STATUS_NONFINITE) != 0u);
}

fn terms_of(hard: f32, soft: f32, hard_status: u32, soft_status: u32) -> Terms {
    // Before a term enters here, its status has been reduced to 0 unless it counts.
    let mix = params.hard_weight * hard + params.soft_weight * soft;
    return Terms(
        term_bits(hard, hard_status, STATUS_INFINITE_HARD),
        term_bits(soft, soft_status, STATUS_INFINITE_SOFT),
        term_bits(mix, hard_status | soft_status, STATUS_INFINITE_HARD | STATUS_INFINITE_SOFT),
    );
}
