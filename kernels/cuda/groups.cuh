// Which columns a group is, and moving groups between memory and registers.
//
// Rows are cut into groups where memory is cut into 16-byte vectors. `phase` says how many elements behind such a cut a row
// starts, and group g of the row is columns `GROUP · g - phase` and the following ones. So a row at an odd stride is still
// moved in vectors, except for its first and its last group. WIDE says that all three matrices have the same phase in every
// row. If they do not, the phase is 0 and elements are moved one by one.

// The columns of a group: `first` and the following ones, of which `begin .. end` exist.
struct Columns {
    int first;
    int begin;
    int end;
    __device__ __forceinline__ bool are_whole() const { return begin == 0 && end == GROUP; }
    __device__ __forceinline__ bool contain(int index) const { return begin <= index && index < end; }
};

__device__ __forceinline__ Columns columns_of(unsigned group, unsigned phase, unsigned width) {
    int first = int(group * GROUP) - int(phase);
    return Columns{first, max(-first, 0), min(max(int(width) - first, 0), GROUP)};
}

// Groups of a row of `width` columns.
__device__ __forceinline__ unsigned groups_of(unsigned phase, unsigned width) {
    return (phase + width + GROUP - 1) / GROUP;
}

template <class Element>
__device__ __forceinline__ unsigned phase_of(const Element* row) {
    return WIDE ? unsigned(reinterpret_cast<unsigned long long>(row) / sizeof(Element) % GROUP) : 0;
}

// Loads 16 bytes of logits. They are read once, so they take no room in L1. The read-only path is not for them: in place, the
// gradient overwrites the student's logits.
__device__ __forceinline__ void load_vector(unsigned* words, const void* address) {
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3]) : "l"(address));
}

// Stores 16 or 8 bytes of the gradient. Nobody reads them here, so they are the first to leave the cache.
__device__ __forceinline__ void store_vector(void* address, const unsigned* words) {
    asm volatile("st.global.cs.v4.u32 [%0], {%1, %2, %3, %4};"
        :: "l"(address), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3]) : "memory");
}
__device__ __forceinline__ void store_half_vector(void* address, const unsigned* words) {
    asm volatile("st.global.cs.v2.u32 [%0], {%1, %2};" :: "l"(address), "r"(words[0]), "r"(words[1]) : "memory");
}

// Loads a group of a row of logits. Columns that do not exist become masked logits.
template <class Element>
__device__ __forceinline__ Words<Element> load_group(const Element* group, Columns columns) {
    Words<Element> words;
    if (WIDE && columns.are_whole()) {
#pragma unroll
        for (int word = 0; word < words.COUNT; word += 4) {
            load_vector(words.word + word, reinterpret_cast<const unsigned*>(group) + word);
        }
        return words;
    }
    constexpr int PER_WORD = 4 / sizeof(Element);
#pragma unroll
    for (int word = 0; word < words.COUNT; word++) {
        words.word[word] = 0;
#pragma unroll
        for (int part = 0; part < PER_WORD; part++) {
            int place = word * PER_WORD + part;
            unsigned bits = columns.contain(place) ? group[place].bits : Element::MASKED_BITS;
            words.word[word] |= bits << 16 * part;
        }
    }
    return words;
}

// Stores a group of a row of the gradient. `columns` are those that the matrix has.
__device__ __forceinline__ void store_group(Gradient* group, Columns columns, const Words<Gradient>& words) {
    if (WIDE && columns.are_whole()) {
        unsigned* address = reinterpret_cast<unsigned*>(group);
        if constexpr (Words<Gradient>::COUNT == 2) {
            store_half_vector(address, words.word);
        } else {
#pragma unroll
            for (int word = 0; word < words.COUNT; word += 4) store_vector(address + word, words.word + word);
        }
        return;
    }
    constexpr int PER_WORD = 4 / sizeof(Gradient);
#pragma unroll
    for (int place = 0; place < GROUP; place++) {
        unsigned bits = words.word[place / PER_WORD] >> 16 * (place % PER_WORD);
        if (columns.contain(place)) group[place].bits = static_cast<Gradient::Bits>(bits);
    }
}
