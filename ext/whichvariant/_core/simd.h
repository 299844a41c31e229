/* Run-time choice of vector code, and the loops that need it.
 *
 * Each loop is one always-inline body, written over fixed-size lane blocks so that the compiler
 * vectorises it, and compiled once per level under a function-level target attribute. One source
 * therefore serves SSE2, AVX2 and AVX-512 on x86-64, NEON on aarch64, and any other compiler as
 * plain C. No -march flag is needed, so the built package runs on every machine of its platform.
 */
#ifndef WHICHVARIANT_SIMD_H
#define WHICHVARIANT_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define WV_INLINE static inline __attribute__((always_inline))
#define WV_RESTRICT __restrict__
#define WV_UNUSED __attribute__((unused))
#define wv_prefetch(address) __builtin_prefetch((address), 1)
#else
#define WV_INLINE static __forceinline
#define WV_RESTRICT __restrict
#define WV_UNUSED
#define wv_prefetch(address) ((void)(address))
#endif

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define WV_X86 1
#define WV_TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2")))
#define WV_TARGET_AVX512 \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,bmi,bmi2")))
#if !defined(__clang__)
/* GCC otherwise halves the vectors to 256 bits under these targets. */
#undef WV_TARGET_AVX512
#define WV_TARGET_AVX512                                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,bmi,bmi2,"      \
                          "prefer-vector-width=512")))
#endif
#else
#define WV_X86 0
#endif

enum { WV_LEVEL_BASELINE = 0, WV_LEVEL_AVX2 = 1, WV_LEVEL_AVX512 = 2 };

/* The best level this processor runs. */
WV_UNUSED static int wv_detect_level(void)
{
#if WV_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512cd"))
        return WV_LEVEL_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
        return WV_LEVEL_AVX2;
#endif
    return WV_LEVEL_BASELINE;
}

/* The number of the lowest set bit of a word that is not 0. */
WV_INLINE int wv_lowest_bit(uint64_t word)
{
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctzll(word);
#else
    int n = 0;
    while (!(word & 1)) {
        word >>= 1;
        n++;
    }
    return n;
#endif
}

/* ---- murmur3_x86_32 ------------------------------------------------------------------------ */

#define WV_C1 0xcc9e2d51u
#define WV_C2 0x1b873593u

WV_INLINE uint32_t wv_rotl32(uint32_t x, int r) { return (x << r) | (x >> (32 - r)); }

WV_INLINE uint32_t wv_mix_k(uint32_t k) { return wv_rotl32(k * WV_C1, 15) * WV_C2; }

WV_INLINE uint32_t wv_mix_h(uint32_t h, uint32_t mixed_k)
{
    return wv_rotl32(h ^ mixed_k, 13) * 5u + 0xe6546b64u;
}

WV_INLINE uint32_t wv_fmix32(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

/* What all texts of one alignment share: the visitor's id, cut into words where the prefix ends. */
typedef struct {
    uint32_t first;        /* id bytes that fill up the prefix's last, partial word, in place */
    uint32_t whole;        /* 1 when prefix tail + id reach one whole word */
    uint32_t id_length;    /* code units of the id */
    uint32_t n_words;      /* whole words after the first, already multiplied */
    uint32_t last;         /* the trailing partial word, already multiplied; 0 when there is none */
    const uint32_t *words;
} wv_stream;

#define WV_LANES 32

/* Hashes prefix + id for `width` prefixes from `base` on; callers pass a constant `width`. */
WV_INLINE void wv_murmur_block(const uint32_t *WV_RESTRICT state, const uint32_t *WV_RESTRICT tail,
                               const uint32_t *WV_RESTRICT length, uint32_t *WV_RESTRICT out,
                               const wv_stream *stream, size_t base, const int width)
{
    const uint32_t first = stream->first, last = stream->last, n = stream->id_length;
    const uint32_t n_words = stream->n_words;
    const uint32_t *words = stream->words;
    uint32_t h[2 * WV_LANES];
    if (stream->whole) {
        for (int i = 0; i < width; i++)
            h[i] = wv_mix_h(state[base + i], wv_mix_k(tail[base + i] | first));
        for (uint32_t w = 0; w < n_words; w++) {
            const uint32_t k = words[w];
            for (int i = 0; i < width; i++)
                h[i] = wv_mix_h(h[i], k);
        }
        for (int i = 0; i < width; i++)
            h[i] ^= last;
    } else {
        for (int i = 0; i < width; i++)
            h[i] = state[base + i] ^ wv_mix_k(tail[base + i] | first);
    }
    for (int i = 0; i < width; i++)
        out[base + i] = wv_fmix32(h[i] ^ (length[base + i] + n));
}

/* Hashes prefix + id for `lanes` prefixes (a multiple of WV_LANES; arrays are padded).
 *
 * Each step of a hash waits for the one before, so several vectors have to be in flight: 64 lanes
 * at a time are a fifth faster than 32. Narrower blocks than 32 do not vectorise at all in GCC.
 */
WV_INLINE void wv_murmur_body(const uint32_t *WV_RESTRICT state, const uint32_t *WV_RESTRICT tail,
                              const uint32_t *WV_RESTRICT length, uint32_t *WV_RESTRICT out,
                              size_t lanes, const wv_stream *stream)
{
    size_t base = 0;
    for (; base + 2 * WV_LANES <= lanes; base += 2 * WV_LANES)
        wv_murmur_block(state, tail, length, out, stream, base, 2 * WV_LANES);
    if (base < lanes)
        wv_murmur_block(state, tail, length, out, stream, base, WV_LANES);
}

/* ---- the xxh64 scheme: one hash of the visitor, one mix an experience ------------------------ */

WV_INLINE uint64_t wv_fmix64(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdULL;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ULL;
    return h ^ (h >> 33);
}

WV_INLINE void wv_xxh64_body(const uint64_t *WV_RESTRICT salts, uint64_t visitor,
                             uint32_t *WV_RESTRICT traffic, uint32_t *WV_RESTRICT distribution,
                             size_t lanes)
{
    for (size_t base = 0; base < lanes; base += WV_LANES) {
        for (int i = 0; i < WV_LANES; i++) {
            const uint64_t h = wv_fmix64(visitor ^ salts[base + i]);
            traffic[base + i] = (uint32_t)(h >> 32);
            distribution[base + i] = (uint32_t)h;
        }
    }
}

/* ---- one compiled copy per level ----------------------------------------------------------- */

#define WV_DEFINE_LEVEL(suffix, attribute)                                                       \
    attribute static void wv_murmur_##suffix(const uint32_t *s, const uint32_t *t,               \
                                             const uint32_t *l, uint32_t *o, size_t n,           \
                                             const wv_stream *stream)                            \
    {                                                                                            \
        wv_murmur_body(s, t, l, o, n, stream);                                                   \
    }                                                                                            \
    attribute static void wv_xxh64_##suffix(const uint64_t *s, uint64_t v, uint32_t *t,          \
                                            uint32_t *d, size_t n)                               \
    {                                                                                            \
        wv_xxh64_body(s, v, t, d, n);                                                            \
    }

WV_DEFINE_LEVEL(baseline, )
#if WV_X86
WV_DEFINE_LEVEL(avx2, WV_TARGET_AVX2)
WV_DEFINE_LEVEL(avx512, WV_TARGET_AVX512)
#endif

typedef void (*wv_murmur_fn)(const uint32_t *, const uint32_t *, const uint32_t *, uint32_t *,
                             size_t, const wv_stream *);
typedef void (*wv_xxh64_fn)(const uint64_t *, uint64_t, uint32_t *, uint32_t *, size_t);

WV_UNUSED static wv_murmur_fn wv_murmur_at(int level)
{
#if WV_X86
    if (level == WV_LEVEL_AVX512)
        return wv_murmur_avx512;
    if (level == WV_LEVEL_AVX2)
        return wv_murmur_avx2;
#endif
    (void)level;
    return wv_murmur_baseline;
}

WV_UNUSED static wv_xxh64_fn wv_xxh64_at(int level)
{
#if WV_X86
    if (level == WV_LEVEL_AVX512)
        return wv_xxh64_avx512;
    if (level == WV_LEVEL_AVX2)
        return wv_xxh64_avx2;
#endif
    (void)level;
    return wv_xxh64_baseline;
}

#endif
