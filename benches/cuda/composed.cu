// What the benchmark compares with: a copy of as many bytes, and the loss composed of separate kernels, the way frameworks
// do it. Each takes one CTA per row, and four elements at a time.
//
//   log_softmax(student)          reads the logits 3 times, writes [rows, vocab] in f32
//   log_softmax(student / T)      the same
//   log_softmax(teacher / T)      the same
//   divergence of each row        reads two of these
//   cross_entropy of each row     reads one element of each row
//   gradient                      reads all three, writes the gradient
//   mean
//
// The benchmark defines IS_BF16. Rows start at multiples of 16 bytes, and vocab is a multiple of 4.

#if IS_BF16
using Four = uint2;
__device__ __forceinline__ float4 floats_of(Four words) {
    return make_float4(__uint_as_float(words.x << 16), __uint_as_float(words.x & 0xffff0000),
                       __uint_as_float(words.y << 16), __uint_as_float(words.y & 0xffff0000));
}
__device__ __forceinline__ unsigned pair_of(float low, float high) {
    unsigned word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}
__device__ __forceinline__ Four four_of(float4 values) {
    return make_uint2(pair_of(values.x, values.y), pair_of(values.z, values.w));
}
#else
using Four = float4;
__device__ __forceinline__ float4 floats_of(Four values) { return values; }
__device__ __forceinline__ Four four_of(float4 values) { return values; }
#endif

static constexpr float LOG2_E = 1.4426950408889634f;
static constexpr unsigned ALL_LANES = 0xffffffff;

struct Settings {
    unsigned rows;
    unsigned fours;         // vocab / 4
    unsigned fours_stride;  // row stride / 4
    float inverse_temperature;
    float temperature;
    float alpha;
};

__device__ __forceinline__ float exponential(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * LOG2_E));
    return power;
}

// The sum, or the largest, of all threads' values; all threads get it, through shared memory.
template <bool IS_SUM>
__device__ __forceinline__ float joined(float value, float (&of_warp)[32]) {
    auto join = [](float a, float b) { return IS_SUM ? a + b : fmaxf(a, b); };
    for (int step = 16; step > 0; step /= 2) value = join(value, __shfl_xor_sync(ALL_LANES, value, step));
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    unsigned lane = threadIdx.x % 32;
    value = of_warp[lane < blockDim.x / 32 ? lane : 0];
    if (IS_SUM && lane >= blockDim.x / 32) value = 0.0f;
    for (int step = 16; step > 0; step /= 2) value = join(value, __shfl_xor_sync(ALL_LANES, value, step));
    __syncthreads();
    return value;
}

extern "C" __global__ void copy(const Four* student, const Four* teacher, Four* gradient, Settings settings) {
    unsigned row = blockIdx.x * settings.fours_stride;
    for (unsigned four = threadIdx.x; four < settings.fours; four += blockDim.x) {
        float4 s = floats_of(student[row + four]), t = floats_of(teacher[row + four]);
        gradient[row + four] = four_of(make_float4(s.x + t.x, s.y + t.y, s.z + t.z, s.w + t.w));
    }
}

extern "C" __global__ void log_softmax(const Four* logits, float4* output, float inverse_temperature, Settings settings) {
    __shared__ float of_warp[32];
    unsigned row = blockIdx.x * settings.fours_stride;
    float largest = __int_as_float(0xff800000);
    for (unsigned four = threadIdx.x; four < settings.fours; four += blockDim.x) {
        float4 x = floats_of(logits[row + four]);
        largest = fmaxf(largest, fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w)));
    }
    largest = joined<false>(largest, of_warp);
    float sum = 0.0f;
    for (unsigned four = threadIdx.x; four < settings.fours; four += blockDim.x) {
        float4 x = floats_of(logits[row + four]);
        sum += exponential((x.x - largest) * inverse_temperature) + exponential((x.y - largest) * inverse_temperature) +
               exponential((x.z - largest) * inverse_temperature) + exponential((x.w - largest) * inverse_temperature);
    }
    float offset = logf(joined<true>(sum, of_warp));
    for (unsigned four = threadIdx.x; four < settings.fours; four += blockDim.x) {
        float4 x = floats_of(logits[row + four]);
        output[row + four] = make_float4(
            (x.x - largest) * inverse_temperature - offset, (x.y - largest) * inverse_temperature - offset,
            (x.z - largest) * inverse_temperature - offset, (x.w - largest) * inverse_temperature - offset);
    }
}

extern "C" __global__ void divergence(const float4* student, const float4* teacher, float* soft, Settings settings) {
    __shared__ float of_warp[32];
    unsigned row = blockIdx.x * settings.fours_stride;
    float sum = 0.0f;
    for (unsigned four = threadIdx.x; four < settings.fours; four += blockDim.x) {
        float4 q = student[row + four], p = teacher[row + four];
        sum += exponential(p.x) * (p.x - q.x) + exponential(p.y) * (p.y - q.y) + exponential(p.z) * (p.z - q.z) +
               exponential(p.w) * (p.w - q.w);
    }
    sum = joined<true>(sum, of_warp);
    if (threadIdx.x == 0) soft[blockIdx.x] = settings.temperature * settings.temperature * sum;
}

extern "C" __global__ void cross_entropy(const float* plain, const long long* labels, float* hard, Settings settings) {
    unsigned row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row < settings.rows) hard[row] = -plain[4ull * row * settings.fours_stride + labels[row]];
}

extern "C" __global__ void gradient(const float4* plain, const float4* student, const float4* teacher, Four* gradient,
                                    const long long* labels, Settings settings) {
    unsigned row = blockIdx.x * settings.fours_stride;
    float hard = settings.alpha / settings.rows;
    float soft = (1.0f - settings.alpha) * settings.temperature / settings.rows;
    long long label = labels[blockIdx.x];
    for (unsigned four = threadIdx.x; four < settings.fours; four += blockDim.x) {
        float4 s = plain[row + four], q = student[row + four], p = teacher[row + four];
        auto entry = [&](float s, float q, float p, int index) {
            float one_hot = label == 4ll * four + index ? 1.0f : 0.0f;
            return hard * (exponential(s) - one_hot) + soft * (exponential(q) - exponential(p));
        };
        gradient[row + four] = four_of(make_float4(entry(s.x, q.x, p.x, 0), entry(s.y, q.y, p.y, 1),
                                                   entry(s.z, q.z, p.z, 2), entry(s.w, q.w, p.w, 3)));
    }
}

extern "C" __global__ void mean(const float* hard, const float* soft, float* loss, Settings settings) {
    __shared__ float of_warp[32];
    float sum = 0.0f;
    for (unsigned row = threadIdx.x; row < settings.rows; row += blockDim.x) {
        sum += settings.alpha * hard[row] + (1.0f - settings.alpha) * soft[row];
    }
    sum = joined<true>(sum, of_warp);
    if (threadIdx.x == 0) *loss = sum / settings.rows;
}
