// The labels, 32 or 64 bits wide, and what a label says about its row. A label indexes memory only
// once it has been found to be a class.

@group(0) @binding(1) var<storage, read> labels: array<u32>;

struct Label {
    // The words of a 64-bit integer, of which the lower is the class, if it is one.
    class_index: u32,
    high: u32,
    is_class: bool,
    is_ignored: bool,
}

// The label of a row of this dispatch; where there are no labels, neither a class nor ignored.
fn label_of(row: u32) -> Label {
    if params.label_words == 0u {
        return Label(0u, 0u, false, false);
    }
    let word = params.labels_start + row * params.label_words;
    let low = labels[word];
    // A narrow label is widened as a signed number.
    var high = select(0u, 0xffffffffu, (low & 0x80000000u) != 0u);
    if params.label_words == 2u {
        high = labels[word + 1u];
    }
    let is_ignored = low == params.ignore_index_low && high == params.ignore_index_high;
    return Label(low, high, !is_ignored && high == 0u && low < params.vocab, is_ignored);
}
