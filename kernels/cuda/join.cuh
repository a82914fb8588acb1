// Joining what threads have found: over the lanes of a warp by shuffles, over the warps of a CTA through shared memory,
// over the CTAs of a cluster through distributed shared memory. Each level joins up to 32 parts in the same way. Each part
// has its place in a fixed tree, so the same parts give the same bits.
//
// Who synchronises with whom: each function says where all threads of a CTA, or of a cluster, meet. What one meeting
// makes readable is read before the next meeting, and is written again only after it.

static constexpr unsigned MOST_WARPS = 32;
static constexpr unsigned ALL_LANES = 0xffffffff;
static constexpr bool IS_CLUSTER = RESIDENCY == CLUSTER;

__device__ __forceinline__ unsigned lane() { return threadIdx.x % 32; }
__device__ __forceinline__ unsigned warp() { return threadIdx.x / 32; }
__device__ __forceinline__ unsigned warps() { return blockDim.x / 32; }

template <class Number>
__device__ __forceinline__ Number sum_over_lanes(Number value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(ALL_LANES, value, step);
    return value;
}

__device__ __forceinline__ float max_over_lanes(float value) {
    for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, step));
    return value;
}

// The parts that the lanes of a warp hold, together. All lanes get the same.
__device__ __forceinline__ RowPart merged_over_lanes(RowPart part, const Params& params) {
    RowPart whole = rebased(part, max_over_lanes(part.student_max), max_over_lanes(part.teacher_max), params);
    if (HARD) whole.student_sum = sum_over_lanes(whole.student_sum);
    if (SOFT) whole.student_tempered_sum = sum_over_lanes(whole.student_tempered_sum);
    if (SOFT) whole.teacher_tempered_sum = sum_over_lanes(whole.teacher_tempered_sum);
    if (SOFT) whole.infinite_soft = __any_sync(ALL_LANES, whole.infinite_soft);
    return whole;
}

// The place of a CTA in its cluster, and the size of the cluster: 0 and 1 where there are none.
__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank = 0;
    if (IS_CLUSTER) asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
__device__ __forceinline__ unsigned cluster_size() {
    unsigned size = 1;
    if (IS_CLUSTER) asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
    return size;
}

// All threads of a cluster meet: what they have written, to shared memory too, can be read by all.
__device__ __forceinline__ void meet_cluster() {
    if (IS_CLUSTER) {
        asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
        asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    }
}

// Word `index` of what lies at `local` in the shared memory of another CTA of the cluster.
__device__ __forceinline__ unsigned load_remote(const void* local, unsigned rank, int index) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(local)) + 4 * index;
    unsigned remote, word;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(word) : "r"(remote) : "memory");
    return word;
}

// Parts, on their way. A CTA has one.
struct PartExchange {
    RowPart of_warp[MOST_WARPS];
    RowPart of_cta;
};

// The whole row, from the parts of all threads. All threads of the cluster call it; the first warp of each CTA gets it. The
// CTA meets once, then the cluster does.
__device__ __forceinline__ RowPart merged_over_threads(RowPart part, PartExchange& exchange, const Params& params) {
    part = merged_over_lanes(part, params);
    if (lane() == 0) exchange.of_warp[warp()] = part;
    __syncthreads();
    RowPart whole = identity();
    if (warp() == 0) {
        whole = merged_over_lanes(lane() < warps() ? exchange.of_warp[lane()] : identity(), params);
        if (IS_CLUSTER && lane() == 0) exchange.of_cta = whole;
    }
    meet_cluster();
    if (IS_CLUSTER && warp() == 0) {
        RowPart of_rank = identity();
        if (lane() < cluster_size()) {
            unsigned* word = reinterpret_cast<unsigned*>(&of_rank);
#pragma unroll
            for (int index = 0; index < int(sizeof(RowPart) / 4); index++) {
                word[index] = load_remote(&exchange.of_cta, lane(), index);
            }
        }
        whole = merged_over_lanes(of_rank, params);
    }
    return whole;
}

// Sums of parts, on their way.
struct SumExchange {
    float of_warp[MOST_WARPS];
    float of_cta;
};

// The sum over all threads of the cluster, in the first warp of its first CTA. The CTA meets once, then the cluster does.
__device__ __forceinline__ float sum_over_threads(float part, SumExchange& exchange) {
    part = sum_over_lanes(part);
    if (lane() == 0) exchange.of_warp[warp()] = part;
    __syncthreads();
    float whole = 0.0f;
    if (warp() == 0) {
        whole = sum_over_lanes(lane() < warps() ? exchange.of_warp[lane()] : 0.0f);
        if (IS_CLUSTER && lane() == 0) exchange.of_cta = whole;
    }
    meet_cluster();
    if (IS_CLUSTER && warp() == 0 && cluster_rank() == 0) {
        float of_rank = lane() < cluster_size() ? __uint_as_float(load_remote(&exchange.of_cta, lane(), 0)) : 0.0f;
        whole = sum_over_lanes(of_rank);
    }
    return whole;
}
