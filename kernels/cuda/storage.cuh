// Elements in memory: f32, f16 and bf16, and groups of them.
//
// A group is what one thread handles at a time: 16 bytes of the narrower of student and teacher, hence GROUP is 4 where both
// are f32 and 8 elsewhere. (The gradient has no say, so that its type does not change the bits of the loss.) It is kept as
// the words it is stored in; arithmetic is f32.

struct F32 {
    using Bits = unsigned;
    static constexpr Bits MASKED_BITS = 0xff800000;
    Bits bits;
};
struct F16 {
    using Bits = unsigned short;
    static constexpr Bits MASKED_BITS = 0xfc00;
    Bits bits;
};
struct Bf16 {
    using Bits = unsigned short;
    static constexpr Bits MASKED_BITS = 0xff80;
    Bits bits;
};

// The host chooses the three types, and GRADIENT is 0 where no gradient is wanted.
using Student = STUDENT_TYPE;
using Teacher = TEACHER_TYPE;
using Gradient = GRADIENT_TYPE;

static constexpr int GROUP = sizeof(Student) == 4 && (!SOFT || sizeof(Teacher) == 4) ? 4 : 8;

template <class Element>
struct Words {
    static constexpr int COUNT = GROUP * sizeof(Element) / 4;
    unsigned word[COUNT];
};

__device__ __forceinline__ float to_float(F32 element) { return __uint_as_float(element.bits); }
__device__ __forceinline__ float to_float(Bf16 element) { return __uint_as_float(unsigned(element.bits) << 16); }
__device__ __forceinline__ float to_float(F16 element) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(element.bits));
    return value;
}

// Element `index` of a group.
__device__ __forceinline__ float element(const Words<F32>& words, int index) { return __uint_as_float(words.word[index]); }
__device__ __forceinline__ float element(const Words<Bf16>& words, int index) {
    unsigned word = words.word[index / 2];
    return __uint_as_float(index % 2 == 0 ? word << 16 : word & 0xffff0000);
}
__device__ __forceinline__ float element(const Words<F16>& words, int index) {
    return to_float(F16{static_cast<unsigned short>(words.word[index / 2] >> 16 * (index % 2))});
}

// Two numbers in one word, each the nearest of the storage type, ties to even; the first in the low half.
__device__ __forceinline__ unsigned pair_of(Bf16, float low, float high) {
    unsigned word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}
__device__ __forceinline__ unsigned pair_of(F16, float low, float high) {
    unsigned word;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

// A group of numbers in the words of their storage type.
template <class Element>
__device__ __forceinline__ Words<Element> words_of(const float (&values)[GROUP]) {
    Words<Element> words;
    if constexpr (sizeof(Element) == 4) {
#pragma unroll
        for (int index = 0; index < GROUP; index++) words.word[index] = __float_as_uint(values[index]);
    } else {
#pragma unroll
        for (int index = 0; index < GROUP; index += 2) {
            words.word[index / 2] = pair_of(Element{}, values[index], values[index + 1]);
        }
    }
    return words;
}

// The larger and the smaller of two words, element by element. NaN gives way to a number: it is met again in the sums.
__device__ __forceinline__ unsigned larger(F32, unsigned a, unsigned b) {
    return __float_as_uint(fmaxf(__uint_as_float(a), __uint_as_float(b)));
}
__device__ __forceinline__ unsigned smaller(F32, unsigned a, unsigned b) {
    return __float_as_uint(fminf(__uint_as_float(a), __uint_as_float(b)));
}
#define PAIRWISE(name, Element, instruction)                                            \
    __device__ __forceinline__ unsigned name(Element, unsigned a, unsigned b) {         \
        unsigned result;                                                                \
        asm(instruction " %0, %1, %2;" : "=r"(result) : "r"(a), "r"(b));                \
        return result;                                                                  \
    }
PAIRWISE(larger, F16, "max.f16x2")
PAIRWISE(smaller, F16, "min.f16x2")
PAIRWISE(larger, Bf16, "max.bf16x2")
PAIRWISE(smaller, Bf16, "min.bf16x2")
#undef PAIRWISE

// The largest element of a group.
template <class Element>
__device__ __forceinline__ float largest(const Words<Element>& words) {
    unsigned word = words.word[0];
#pragma unroll
    for (int index = 1; index < words.COUNT; index++) word = larger(Element{}, word, words.word[index]);
    if constexpr (sizeof(Element) == 4) return __uint_as_float(word);
    return fmaxf(to_float(Element{static_cast<unsigned short>(word)}),
                 to_float(Element{static_cast<unsigned short>(word >> 16)}));
}

// The smallest.
template <class Element>
__device__ __forceinline__ float smallest(const Words<Element>& words) {
    unsigned word = words.word[0];
#pragma unroll
    for (int index = 1; index < words.COUNT; index++) word = smaller(Element{}, word, words.word[index]);
    if constexpr (sizeof(Element) == 4) return __uint_as_float(word);
    return fminf(to_float(Element{static_cast<unsigned short>(word)}),
                 to_float(Element{static_cast<unsigned short>(word >> 16)}));
}
