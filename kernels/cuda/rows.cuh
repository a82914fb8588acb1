// A row, the share of it that a CTA has, and the pairs of groups that its threads read and keep.

// One row, and this CTA's share of its groups. Those from `first_whole` to `end_whole` are whole; a thread takes every
// blockDim.x-th of them. At most one group before them and one behind them is not whole, at an edge of the row.
struct Row {
    unsigned index;
    unsigned phase;
    unsigned first_group;
    unsigned first_whole;
    unsigned end_whole;
    unsigned end_group;
    // Where group 0 begins: `phase` elements before the row.
    const Student* student;
    const Teacher* teacher;
    Gradient* gradient;
};

__device__ __forceinline__ const Student* student_of(unsigned row, const Params& params) {
    return params.student + row * params.student_stride;
}
__device__ __forceinline__ const Teacher* teacher_of(unsigned row, const Params& params) {
    return params.teacher + row * params.teacher_stride;
}
__device__ __forceinline__ Gradient* gradient_of(unsigned row, const Params& params) {
    return params.gradient + row * params.gradient_stride;
}

// The same address, whose origin the compiler no longer knows: else it would compute the address anew for each group.
template <class Element>
__device__ __forceinline__ Element* at_hand(Element* address) {
    asm("" : "+l"(address));
    __builtin_assume(__isGlobal(address));
    return address;
}

__device__ __forceinline__ Row row_of(unsigned index, const Params& params) {
    bool by_teacher = SOFT && sizeof(Teacher) < sizeof(Student);
    unsigned phase = by_teacher ? phase_of(teacher_of(index, params)) : phase_of(student_of(index, params));
    unsigned first_group = cluster_rank() * params.slots;
    unsigned end_group = min(first_group + params.slots, groups_of(phase, params.vocab));
    unsigned first_whole = max(first_group, unsigned(phase != 0));
    unsigned end_whole = max(first_whole, min(end_group, (phase + params.vocab) / GROUP));
    Row row = {index, phase, first_group, first_whole, end_whole, end_group};
    row.student = at_hand(student_of(index, params) - phase);
    row.teacher = at_hand(teacher_of(index, params) - phase);
    row.gradient = at_hand(gradient_of(index, params) - phase);
    return row;
}

// The group at an edge of the row that is this thread's, else `end_group`.
__device__ __forceinline__ unsigned edge_of(const Row& row) {
    if (threadIdx.x == 0 && row.first_group < row.first_whole) return row.first_group;
    return threadIdx.x == 1 ? row.end_whole : row.end_group;
}

// The columns of a group; those of a whole one are known without a look at the row's width.
template <bool IS_WHOLE>
__device__ __forceinline__ Columns columns_in(const Row& row, unsigned group, unsigned width) {
    return IS_WHOLE ? Columns{int(group * GROUP) - int(row.phase), 0, GROUP} : columns_of(group, row.phase, width);
}

// What threads keep between the passes: a slot for each group of the CTA's share. A group of several 16-byte vectors lies in
// as many planes, so that neighbouring threads touch neighbouring banks.
extern __shared__ uint4 slots[];

template <class Element>
__device__ __forceinline__ void keep(unsigned slot, int plane, const Words<Element>& words, const Params& params) {
#pragma unroll
    for (int word = 0; word < words.COUNT; word += 4) {
        slots[(plane + word / 4) * params.slots + slot] =
            make_uint4(words.word[word], words.word[word + 1], words.word[word + 2], words.word[word + 3]);
    }
}

template <class Element>
__device__ __forceinline__ Words<Element> kept(unsigned slot, int plane, const Params& params) {
    Words<Element> words;
#pragma unroll
    for (int word = 0; word < words.COUNT; word += 4) {
        uint4 vector = slots[(plane + word / 4) * params.slots + slot];
        words.word[word] = vector.x;
        words.word[word + 1] = vector.y;
        words.word[word + 2] = vector.z;
        words.word[word + 3] = vector.w;
    }
    return words;
}

// A group of both rows.
struct Pair {
    Words<Student> student;
    Words<Teacher> teacher;
};

static constexpr int TEACHER_PLANE = Words<Student>::COUNT / 4;

template <bool IS_WHOLE>
__device__ __forceinline__ Pair load_pair(const Row& row, unsigned group, const Params& params) {
    Columns columns = columns_in<IS_WHOLE>(row, group, params.vocab);
    Pair pair;
    pair.student = load_group(row.student + group * GROUP, columns);
    if (SOFT) pair.teacher = load_group(row.teacher + group * GROUP, columns);
    return pair;
}

__device__ __forceinline__ void keep_pair(unsigned slot, const Pair& pair, const Params& params) {
    keep(slot, 0, pair.student, params);
    if (SOFT) keep(slot, TEACHER_PLANE, pair.teacher, params);
}

__device__ __forceinline__ Pair kept_pair(unsigned slot, const Params& params) {
    Pair pair;
    pair.student = kept<Student>(slot, 0, params);
    if (SOFT) pair.teacher = kept<Teacher>(slot, TEACHER_PLANE, params);
    return pair;
}
