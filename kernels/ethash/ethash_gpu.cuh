/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel bodies ask of the machine, on CUDA; ethash_gpu_host.h has the same for a CPU. */
#ifndef RR_ETHASH_GPU_CUH
#define RR_ETHASH_GPU_CUH
#include "ethash/ethash_gpu.h"

#define RR_GPU_FN static __device__ __forceinline__
/* At most `threads` a block, registers for at least `blocks` of that size on a multiprocessor. */
#define RR_GPU_KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define RR_GPU_SHARED                  __shared__
#define RR_GPU_ALIGNED(bytes)          __align__(bytes)
#define RR_GPU_TABLE                   static __device__ __constant__ const
#define RR_GPU_UNROLL                  _Pragma("unroll")
#define RR_GPU_UNROLL_2                _Pragma("unroll 2")
#define RR_GPU_NO_UNROLL               _Pragma("unroll 1")
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define RR_GPU_HAS_BULK 1
#else
#define RR_GPU_HAS_BULK 0
#endif

RR_GPU_FN uint32_t gpu_thread(void)
{
    return threadIdx.x;
}
RR_GPU_FN uint32_t gpu_threads(void)
{
    return blockDim.x;
}
RR_GPU_FN uint32_t gpu_block(void)
{
    return blockIdx.x;
}
RR_GPU_FN uint32_t gpu_shuffle(uint32_t value, uint32_t from, int width)
{
    return __shfl_sync(0xffffffffu, value, (int)from, width);
}
RR_GPU_FN void gpu_sync_block(void)
{
    __syncthreads();
}
RR_GPU_FN void gpu_sync_warp(void)
{
    __syncwarp();
}
RR_GPU_FN uint32_t gpu_take(uint32_t *counter, uint32_t step)
{
    return atomicAdd(counter, step);
}
RR_GPU_FN uint32_t gpu_mul_high(uint32_t a, uint32_t b)
{
    return __umulhi(a, b);
}
/* The same value, of which the compiler knows nothing: else it sees that the low bits of a counter
 * of fours are 0 and keeps start ^ 1, start ^ 2, start ^ 3 of every hash in registers. */
RR_GPU_FN uint32_t gpu_opaque(uint32_t value)
{
    asm volatile("" : "+r"(value));
    return value;
}

/* ---- Keccak's three operations, one LOP3 or two SHF a half ------------------------------------
 */
RR_GPU_FN uint64_t gpu_join(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}
RR_GPU_FN uint64_t gpu_rotate(uint64_t v, uint32_t bits)
{
    uint32_t low = (uint32_t)v;
    uint32_t high = (uint32_t)(v >> 32);
    if (bits >= 32) {
        return gpu_join(__funnelshift_l(low, high, bits - 32),
                        __funnelshift_l(high, low, bits - 32));
    }
    return gpu_join(__funnelshift_l(high, low, bits), __funnelshift_l(low, high, bits));
}
#define RR_GPU_LOP3(out, a, b, c, table)                                                           \
    asm("lop3.b32 %0, %1, %2, %3, " table ";" : "=r"(out) : "r"(a), "r"(b), "r"(c))
RR_GPU_FN uint64_t gpu_xor3(uint64_t a, uint64_t b, uint64_t c)
{
    uint32_t low, high;
    RR_GPU_LOP3(low, (uint32_t)a, (uint32_t)b, (uint32_t)c, "0x96");
    RR_GPU_LOP3(high, (uint32_t)(a >> 32), (uint32_t)(b >> 32), (uint32_t)(c >> 32), "0x96");
    return gpu_join(low, high);
}
RR_GPU_FN uint64_t gpu_chi(uint64_t a, uint64_t b, uint64_t c) /* a ^ (~b & c) */
{
    uint32_t low, high;
    RR_GPU_LOP3(low, (uint32_t)a, (uint32_t)b, (uint32_t)c, "0xd2");
    RR_GPU_LOP3(high, (uint32_t)(a >> 32), (uint32_t)(b >> 32), (uint32_t)(c >> 32), "0xd2");
    return gpu_join(low, high);
}
RR_GPU_FN uint64_t gpu_swap_bytes(uint64_t v)
{
    return gpu_join(__byte_perm((uint32_t)(v >> 32), 0, 0x0123),
                    __byte_perm((uint32_t)v, 0, 0x0123));
}

/* ---- memory -------------------------------------------------------------------------------------
 */
/* A row is used once: it need not push others out of L1. */
RR_GPU_FN struct rr_ethash_gpu_quad gpu_load_row(const struct rr_ethash_gpu_quad *at)
{
    struct rr_ethash_gpu_quad quad;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(quad.word[0]), "=r"(quad.word[1]), "=r"(quad.word[2]), "=r"(quad.word[3])
                 : "l"(at));
    return quad;
}
RR_GPU_FN struct rr_ethash_gpu_quad gpu_load_cached(const struct rr_ethash_gpu_quad *at)
{
    uint4 v = __ldg((const uint4 *)at);
    struct rr_ethash_gpu_quad quad = {{v.x, v.y, v.z, v.w}};
    return quad;
}
RR_GPU_FN struct rr_ethash_gpu_quad gpu_load_shared(const struct rr_ethash_gpu_quad *at)
{
    uint4 v = *(const uint4 *)at;
    struct rr_ethash_gpu_quad quad = {{v.x, v.y, v.z, v.w}};
    return quad;
}
RR_GPU_FN void gpu_store(struct rr_ethash_gpu_quad *at, const uint32_t *word)
{
    *(uint4 *)at = make_uint4(word[0], word[1], word[2], word[3]);
}

/* ---- bulk asynchronous copies (compute capability 9.0) ------------------------------------------
 * One barrier a warp: lane 0 announces the bytes, every lane starts one copy, all wait. */
#if RR_GPU_HAS_BULK
RR_GPU_FN uint32_t gpu_shared_address(const void *at)
{
    return (uint32_t)__cvta_generic_to_shared(at);
}
RR_GPU_FN void gpu_barrier_init(uint64_t *barrier)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(gpu_shared_address(barrier))
                 : "memory");
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
RR_GPU_FN void gpu_barrier_expect(uint64_t *barrier, uint32_t bytes)
{
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(gpu_shared_address(barrier)),
        "r"(bytes)
        : "memory");
}
RR_GPU_FN void gpu_barrier_wait(uint64_t *barrier, uint32_t phase)
{
    uint32_t done = 0;
    while (done == 0) {
        asm volatile("{\n\t.reg .pred p;\n\t"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
                     "selp.u32 %0, 1, 0, p;\n\t}"
                     : "=r"(done)
                     : "r"(gpu_shared_address(barrier)), "r"(phase)
                     : "memory");
    }
}
RR_GPU_FN void gpu_bulk_load(void *to, const void *from, uint32_t bytes, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(gpu_shared_address(to)),
                 "l"(from), "r"(bytes), "r"(gpu_shared_address(barrier))
                 : "memory");
}
#else
RR_GPU_FN void gpu_barrier_init(uint64_t *)
{
}
RR_GPU_FN void gpu_barrier_expect(uint64_t *, uint32_t)
{
}
RR_GPU_FN void gpu_barrier_wait(uint64_t *, uint32_t)
{
}
RR_GPU_FN void gpu_bulk_load(void *, const void *, uint32_t, uint64_t *)
{
}
#endif
#endif
