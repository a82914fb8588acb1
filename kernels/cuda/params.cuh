// What one launch has to know, and what it leaves behind. Twins in Rust: src/cuda/params.rs, field for field.
//
// Strides count elements. A pointer is null where there is nothing to read or write.

// Bits of a row's status.
static constexpr unsigned STATUS_LABELLED = 1;   // its label is a class, or there are no labels
static constexpr unsigned STATUS_SOFT = 2;       // its soft term counts
static constexpr unsigned STATUS_NONFINITE = 4;  // the terms that count are NaN
static constexpr unsigned STATUS_BAD_LABEL = 8;  // its label is neither a class nor ignored: the row is NaN

// The terms of one row, before any reduction.
struct __align__(16) RowRecord {
    float hard;
    float soft;
    float total;
    unsigned status;
};

static constexpr unsigned NO_ROW = 0xffffffff;

// The totals of the batch, and the ticket by which the last to finish is found.
struct Totals {
    double loss;
    double hard;
    double soft;
    // The label of `bad_label_row`.
    long long bad_label;
    unsigned labelled_rows;
    unsigned soft_rows;
    unsigned nonfinite_rows;
    // The first row whose label is neither a class nor ignored, else NO_ROW.
    unsigned bad_label_row;
    // Clusters that have finished; 0 between launches.
    unsigned ticket;
    unsigned padding;
};

struct Params {
    const Student* student;
    const Teacher* teacher;
    Gradient* gradient;
    const void* labels;
    // A factor for each row's gradient, and one for all gradients. Both multiply the factors below.
    const float* row_grad_scale;
    const float* grad_scale;
    RowRecord* records;
    Totals* totals;

    long long student_stride;
    long long teacher_stride;
    long long gradient_stride;
    // The label of a row without one.
    long long ignore_index;

    unsigned rows;
    // Columns that are classes.
    unsigned vocab;
    // Columns of the gradient; those from `vocab` on are padding and become 0.
    unsigned gradient_cols;
    // Groups of a row that one CTA keeps on chip: its share, for any row.
    unsigned slots;

    // Bytes of a label: 8, 4, or 0 where there are no labels.
    unsigned label_bytes;
    // Whether the soft term of a row without a label counts.
    unsigned soft_only;
    // Whether the sum of a term over rows is divided by the number of rows that count for it, else by `denominator`.
    unsigned is_mean;
    // 1 / T.
    float temperature_reciprocal;
    // log2(e) / T.
    float temperature_exponent_scale;
    // T².
    float temperature_squared;
    // α and 1 - α.
    float hard_weight;
    float soft_weight;
    // Factors of softmax(s) - onehot(y) and of q - p. Where `is_mean` is set, they are yet to be divided by numbers of rows.
    float hard_gradient;
    float soft_gradient;

    double denominator;
};
