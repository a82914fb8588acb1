// Two numbers at a time: one instruction for both where there is one (compute capability 10), else one for each.
// The loops over a row compute with these: their time goes into instructions (docs/cuda-report.md).

struct Two {
    float low;
    float high;
    __device__ __forceinline__ Two() : low(0.0f), high(0.0f) {}
    __device__ __forceinline__ Two(float value) : low(value), high(value) {}
    __device__ __forceinline__ Two(float low, float high) : low(low), high(high) {}
};

#if __CUDA_ARCH__ >= 1000 && __CUDA_ARCH__ < 1200
__device__ __forceinline__ unsigned long long packed(Two two) {
    unsigned long long word;
    asm("mov.b64 %0, {%1, %2};" : "=l"(word) : "f"(two.low), "f"(two.high));
    return word;
}
__device__ __forceinline__ Two unpacked(unsigned long long word) {
    Two two;
    asm("mov.b64 {%0, %1}, %2;" : "=f"(two.low), "=f"(two.high) : "l"(word));
    return two;
}
__device__ __forceinline__ Two operator+(Two a, Two b) {
    unsigned long long word;
    asm("add.rn.f32x2 %0, %1, %2;" : "=l"(word) : "l"(packed(a)), "l"(packed(b)));
    return unpacked(word);
}
__device__ __forceinline__ Two operator*(Two a, Two b) {
    unsigned long long word;
    asm("mul.rn.f32x2 %0, %1, %2;" : "=l"(word) : "l"(packed(a)), "l"(packed(b)));
    return unpacked(word);
}
__device__ __forceinline__ Two fmaf(Two a, Two b, Two c) {
    unsigned long long word;
    asm("fma.rn.f32x2 %0, %1, %2, %3;" : "=l"(word) : "l"(packed(a)), "l"(packed(b)), "l"(packed(c)));
    return unpacked(word);
}
#else
__device__ __forceinline__ Two operator+(Two a, Two b) { return Two{a.low + b.low, a.high + b.high}; }
__device__ __forceinline__ Two operator*(Two a, Two b) { return Two{a.low * b.low, a.high * b.high}; }
__device__ __forceinline__ Two fmaf(Two a, Two b, Two c) {
    return Two{fmaf(a.low, b.low, c.low), fmaf(a.high, b.high, c.high)};
}
#endif
__device__ __forceinline__ Two operator-(Two a) { return Two{-a.low, -a.high}; }
// One rounding, as a subtraction has, for which there is no packed instruction.
__device__ __forceinline__ Two operator-(Two a, Two b) { return fmaf(b, -1.0f, a); }
__device__ __forceinline__ Two fminf(Two a, Two b) { return Two{fminf(a.low, b.low), fminf(a.high, b.high)}; }
__device__ __forceinline__ Two fmaxf(Two a, Two b) { return Two{fmaxf(a.low, b.low), fmaxf(a.high, b.high)}; }
