/* Loops over columns of indices and bitmaps for what a replay counts, once per level (simd.h). */
#ifndef WHICHVARIANT_COUNTING_H
#define WHICHVARIANT_COUNTING_H

#include "simd.h"

/* codes[i] = the cell of row i: its index before, `n_before` for none, times the width of a row of
 * cells, plus its index after, `n_after` for none. moved[i] becomes 1 where the two differ. NULL
 * stands for a column of none. There are at most 256 cells. */
WV_INLINE void wv_pair_codes_body(const uint8_t *WV_RESTRICT before,
                                  const uint8_t *WV_RESTRICT after, size_t n, uint8_t n_before,
                                  uint8_t n_after, uint8_t *WV_RESTRICT codes,
                                  uint8_t *WV_RESTRICT moved)
{
    const uint8_t width = (uint8_t)(n_after + 1);
    if (before == NULL || after == NULL) {
        const uint8_t *only = before == NULL ? after : before;
        const uint8_t bound = before == NULL ? n_after : n_before;
        const uint8_t scale = before == NULL ? 1 : width;
        const uint8_t fixed = before == NULL ? (uint8_t)(n_before * width) : n_after;
        for (size_t i = 0; i < n; i++) {
            const uint8_t a = only[i] < bound ? only[i] : bound;
            codes[i] = (uint8_t)(fixed + a * scale);
            moved[i] |= a != bound;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t a = before[i] < n_before ? before[i] : n_before;
        const uint8_t b = after[i] < n_after ? after[i] : n_after;
        const uint8_t out_a = (uint8_t)-(a == n_before), out_b = (uint8_t)-(b == n_after);
        codes[i] = (uint8_t)(a * width + b);
        /* None is the same on both sides, whatever number it has there. */
        moved[i] |= (a | out_a) != (b | out_b);
    }
}

/* How many bytes are `value`. */
WV_INLINE size_t wv_count_bytes_body(const uint8_t *bytes, size_t n, uint8_t value)
{
    size_t total = 0, i = 0;
    while (i < n) {
        /* Sums of bytes, for as long as they cannot overflow. */
        uint8_t sums[64] = {0};
        size_t round = 0;
        for (; round < 255 && i + 64 <= n; round++, i += 64)
            for (int k = 0; k < 64; k++)
                sums[k] += bytes[i + k] == value;
        for (int k = 0; k < 64; k++)
            total += sums[k];
        if (i + 64 > n)
            for (; i < n; i++)
                total += bytes[i] == value;
    }
    return total;
}

/* marks[i] |= by_code[codes[i]]. */
WV_INLINE void wv_mark_body(const uint8_t *WV_RESTRICT codes, size_t n,
                            const uint8_t *WV_RESTRICT by_code, uint8_t *WV_RESTRICT marks)
{
    for (size_t i = 0; i < n; i++)
        marks[i] |= by_code[codes[i]];
}

/* What records of one experience add to the sums of their visitors: nothing for `absent`. */
WV_INLINE void wv_add_records_body(const uint8_t *WV_RESTRICT variants, size_t n, uint8_t absent,
                                   uint64_t base, uint64_t step, uint64_t *WV_RESTRICT sums)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += (base + variants[i] * step) & ((uint64_t)(variants[i] == absent) - 1);
}

/* Bits that both of two bitmaps have. */
WV_INLINE uint64_t wv_common_bits_body(const uint64_t *WV_RESTRICT one,
                                       const uint64_t *WV_RESTRICT other, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
#if defined(__GNUC__) || defined(__clang__)
        total += (uint64_t)__builtin_popcountll(one[i] & other[i]);
#else
        uint64_t word = one[i] & other[i];
        word -= (word >> 1) & 0x5555555555555555ULL;
        word = (word & 0x3333333333333333ULL) + ((word >> 2) & 0x3333333333333333ULL);
        word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
        total += (word * 0x0101010101010101ULL) >> 56;
#endif
    }
    return total;
}

/* ---- one compiled copy per level ----------------------------------------------------------- */

typedef struct {
    void (*pair_codes)(const uint8_t *, const uint8_t *, size_t, uint8_t, uint8_t, uint8_t *,
                       uint8_t *);
    size_t (*count_bytes)(const uint8_t *, size_t, uint8_t);
    void (*mark)(const uint8_t *, size_t, const uint8_t *, uint8_t *);
    uint64_t (*common_bits)(const uint64_t *, const uint64_t *, size_t);
    void (*add_records)(const uint8_t *, size_t, uint8_t, uint64_t, uint64_t, uint64_t *);
} wv_counters;

#define WV_DEFINE_COUNTERS(suffix, attribute)                                                   \
    attribute static void wv_pair_codes_##suffix(const uint8_t *b, const uint8_t *a, size_t n,   \
                                                 uint8_t nb, uint8_t na, uint8_t *c, uint8_t *m) \
    {                                                                                            \
        wv_pair_codes_body(b, a, n, nb, na, c, m);                                               \
    }                                                                                            \
    attribute static size_t wv_count_bytes_##suffix(const uint8_t *b, size_t n, uint8_t v)       \
    {                                                                                            \
        return wv_count_bytes_body(b, n, v);                                                     \
    }                                                                                            \
    attribute static void wv_mark_##suffix(const uint8_t *c, size_t n, const uint8_t *by,        \
                                           uint8_t *m)                                           \
    {                                                                                            \
        wv_mark_body(c, n, by, m);                                                               \
    }                                                                                            \
    attribute static uint64_t wv_common_bits_##suffix(const uint64_t *a, const uint64_t *b,      \
                                                      size_t n)                                  \
    {                                                                                            \
        return wv_common_bits_body(a, b, n);                                                     \
    }                                                                                            \
    attribute static void wv_add_records_##suffix(const uint8_t *v, size_t n, uint8_t a,         \
                                                  uint64_t b, uint64_t s, uint64_t *o)           \
    {                                                                                            \
        wv_add_records_body(v, n, a, b, s, o);                                                   \
    }                                                                                            \
    static const wv_counters wv_counters_##suffix = {                                            \
        wv_pair_codes_##suffix, wv_count_bytes_##suffix, wv_mark_##suffix,                       \
        wv_common_bits_##suffix, wv_add_records_##suffix};

WV_DEFINE_COUNTERS(baseline, )
#if WV_X86
/* Whatever has AVX2 counts bits in one instruction; vectors of counts are a later extension. */
WV_DEFINE_COUNTERS(avx2, __attribute__((target("popcnt"))) WV_TARGET_AVX2)
WV_DEFINE_COUNTERS(avx512, __attribute__((target("popcnt"))) WV_TARGET_AVX512)

__attribute__((target("avx512vpopcntdq"))) WV_TARGET_AVX512 static uint64_t
wv_common_bits_vpopcnt(const uint64_t *one, const uint64_t *other, size_t n)
{
    return wv_common_bits_body(one, other, n);
}

static const wv_counters wv_counters_vpopcnt = {wv_pair_codes_avx512, wv_count_bytes_avx512,
                                                wv_mark_avx512, wv_common_bits_vpopcnt,
                                                wv_add_records_avx512};
#endif

WV_UNUSED static const wv_counters *wv_counters_at(int level)
{
#if WV_X86
    if (level == WV_LEVEL_AVX512)
        return __builtin_cpu_supports("avx512vpopcntdq") ? &wv_counters_vpopcnt
                                                         : &wv_counters_avx512;
    if (level == WV_LEVEL_AVX2)
        return &wv_counters_avx2;
#endif
    (void)level;
    return &wv_counters_baseline;
}

#endif
