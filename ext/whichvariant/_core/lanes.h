/* Draws for many profiles at a time: one experience, lanes over profiles.
 *
 * The same hash as simd.h's, turned round: there one visitor's words meet the states of many
 * experiences, here one experience's state meets the words of many visitors. Bodies are plain loops
 * over fixed blocks of lanes, compiled once per vector level; every level gives the same bits.
 */
#ifndef WHICHVARIANT_LANES_H
#define WHICHVARIANT_LANES_H

#include "simd.h"

/* Rows are worked on in groups of this many; all row arrays have room for whole groups. */
#define WV_ROWS 64

/* The stable ids of a block of rows, cut into words where prefixes of one alignment end. Each array
 * has one element a row; `words` has one such array for each word position, `stride` apart. */
typedef struct {
    uint32_t *first;       /* id bytes that fill up the prefix's last, partial word, in place */
    uint32_t *words;       /* further whole words, already multiplied */
    uint32_t *last;        /* the trailing partial word, already multiplied; 0 without one */
    uint8_t *count;        /* whole words of each row */
    uint32_t *units;       /* code units of each id */
    uint32_t stride;
    uint32_t groups;       /* groups of WV_ROWS rows in use */
    uint8_t *lowest;       /* per group: the smallest and largest of `count` */
    uint8_t *highest;
} wv_rows;

/* Hash prefix + id for all rows. `extra` is added to each id's length: the prefix's own. */
WV_INLINE void wv_hash_rows_body(const wv_rows *rows, uint32_t state, uint32_t tail,
                                 uint32_t length, uint32_t *WV_RESTRICT out)
{
    const size_t stride = rows->stride;
    for (uint32_t g = 0; g < rows->groups; g++) {
        const size_t base = (size_t)g * WV_ROWS;
        const uint32_t *first = rows->first + base;
        const uint32_t *last = rows->last + base;
        const uint32_t *units = rows->units + base;
        const uint32_t *words = rows->words + base;
        const uint32_t low = rows->lowest[g], high = rows->highest[g];
        uint32_t h[WV_ROWS];
        for (int i = 0; i < WV_ROWS; i++)
            h[i] = wv_mix_h(state, wv_mix_k(tail | first[i]));
        for (uint32_t w = 0; w < low; w++, words += stride)
            for (int i = 0; i < WV_ROWS; i++)
                h[i] = wv_mix_h(h[i], words[i]);
        if (low != high) {
            /* Ids of several lengths: the shorter ones stand still. */
            const uint8_t *count = rows->count + base;
            for (uint32_t w = low; w < high; w++, words += stride)
                for (int i = 0; i < WV_ROWS; i++) {
                    const uint32_t keep = (uint32_t)0 - (uint32_t)(w < count[i]);
                    h[i] = (wv_mix_h(h[i], words[i]) & keep) | (h[i] & ~keep);
                }
        }
        for (int i = 0; i < WV_ROWS; i++)
            out[base + i] = wv_fmix32(h[i] ^ last[i] ^ (length + units[i]));
    }
}

/* Hashing backwards: what `state ^ mix_k(tail | first)` has to be for the hash to be `target`.
 *
 * Every step of murmur3 can be undone, so whether a hash is one particular value shows after the
 * private block, without the words behind it. */
WV_INLINE uint32_t wv_unfmix32(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x7ed1b41du; /* the inverse of 0xc2b2ae35 */
    h ^= (h >> 13) ^ (h >> 26);
    h *= 0xa5cb9243u; /* the inverse of 0x85ebca6b */
    return h ^ (h >> 16);
}

WV_INLINE uint32_t wv_unmix_h(uint32_t h)
{
    return wv_rotl32((h - 0xe6546b64u) * 0xcccccccdu, 19);
}

WV_INLINE void wv_unhash_rows_body(const wv_rows *rows, uint32_t target, uint32_t length,
                                   uint32_t *WV_RESTRICT out)
{
    const size_t stride = rows->stride;
    const uint32_t mixed = wv_unfmix32(target);
    for (uint32_t g = 0; g < rows->groups; g++) {
        const size_t base = (size_t)g * WV_ROWS;
        const uint32_t *last = rows->last + base;
        const uint32_t *units = rows->units + base;
        const uint8_t *count = rows->count + base;
        const uint32_t low = rows->lowest[g], high = rows->highest[g];
        uint32_t h[WV_ROWS];
        for (int i = 0; i < WV_ROWS; i++)
            h[i] = mixed ^ last[i] ^ (length + units[i]);
        for (uint32_t w = high; w > low; w--) {
            const uint32_t *words = rows->words + (w - 1) * stride + base;
            for (int i = 0; i < WV_ROWS; i++) {
                const uint32_t keep = (uint32_t)0 - (uint32_t)(w <= count[i]);
                h[i] = ((wv_unmix_h(h[i]) ^ words[i]) & keep) | (h[i] & ~keep);
            }
        }
        for (uint32_t w = low; w > 0; w--) {
            const uint32_t *words = rows->words + (w - 1) * stride + base;
            for (int i = 0; i < WV_ROWS; i++)
                h[i] = wv_unmix_h(h[i]) ^ words[i];
        }
        for (int i = 0; i < WV_ROWS; i++)
            out[base + i] = wv_unmix_h(h[i]);
    }
}

/* ---- from hashes to variants --------------------------------------------------------------- */

/* in[i] = asked[i] where the hash is at or below `last`, else 0. Bytes are 0 or 255. */
WV_INLINE void wv_admit_body(const uint32_t *WV_RESTRICT hash, uint32_t last,
                             const uint8_t *WV_RESTRICT asked, uint8_t *WV_RESTRICT in,
                             uint32_t groups)
{
    for (size_t i = 0; i < (size_t)groups * WV_ROWS; i++)
        in[i] = asked[i] & (uint8_t)-(hash[i] <= last);
}

/* is[i] = 1 where the hash would be the value that `wanted` was computed for (wv_unhash_rows). */
WV_INLINE void wv_probe_body(const wv_rows *rows, uint32_t state, uint32_t tail,
                             const uint32_t *WV_RESTRICT wanted, uint8_t *WV_RESTRICT is)
{
    const uint32_t *first = rows->first;
    for (size_t i = 0; i < (size_t)rows->groups * WV_ROWS; i++)
        is[i] = (state ^ wv_mix_k(tail | first[i])) == wanted[i];
}

/* in[i] = asked[i] where is[i] is 0, else 0. */
WV_INLINE void wv_exclude_body(const uint8_t *WV_RESTRICT is, const uint8_t *WV_RESTRICT asked,
                               uint8_t *WV_RESTRICT in, uint32_t groups)
{
    for (size_t i = 0; i < (size_t)groups * WV_ROWS; i++)
        in[i] = asked[i] & (uint8_t)(is[i] - 1);
}

/* out[i] = `index`, or `probed` where is[i] is 1; 255 where in[i] is 0. */
WV_INLINE void wv_pick_body(const uint8_t *WV_RESTRICT is, const uint8_t *WV_RESTRICT in,
                            uint8_t probed, uint8_t index, uint8_t *WV_RESTRICT out,
                            uint32_t groups)
{
    const uint8_t change = probed ^ index;
    for (size_t i = 0; i < (size_t)groups * WV_ROWS; i++)
        out[i] = (index ^ (change & (uint8_t)(0 - is[i]))) | (uint8_t)~in[i];
}

/* out[i] = the index of the piece that holds the hash; 255 where in[i] is 0. Pieces are given by
 * their upper ends but for the last one, and by how the index changes behind each. */
WV_INLINE void wv_choose_body(const uint32_t *WV_RESTRICT hash, const uint8_t *WV_RESTRICT in,
                              const uint32_t *limits, const uint8_t *deltas, uint32_t n_limits,
                              uint8_t index, uint8_t *WV_RESTRICT out, uint32_t groups)
{
    for (uint32_t g = 0; g < groups; g++) {
        const size_t base = (size_t)g * WV_ROWS;
        uint8_t chosen[WV_ROWS];
        for (int i = 0; i < WV_ROWS; i++)
            chosen[i] = index;
        for (uint32_t k = 0; k < n_limits; k++) {
            const uint32_t limit = limits[k];
            const uint8_t delta = deltas[k];
            for (int i = 0; i < WV_ROWS; i++)
                chosen[i] += delta & (uint8_t)-(hash[base + i] > limit);
        }
        for (int i = 0; i < WV_ROWS; i++)
            out[base + i] = chosen[i] | (uint8_t)~in[base + i];
    }
}

/* The xxh64 scheme: both draws of one experience. */
WV_INLINE void wv_mix_rows_body(const uint64_t *WV_RESTRICT visitors, uint64_t salt,
                                uint32_t *WV_RESTRICT traffic, uint32_t *WV_RESTRICT distribution,
                                uint32_t groups)
{
    for (size_t i = 0; i < (size_t)groups * WV_ROWS; i++) {
        const uint64_t h = wv_fmix64(visitors[i] ^ salt);
        traffic[i] = (uint32_t)(h >> 32);
        distribution[i] = (uint32_t)h;
    }
}

/* Multiply words as murmur3 does before they meet a state. */
WV_INLINE void wv_mix_words_body(uint32_t *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        words[i] = wv_mix_k(words[i]);
}

/* ---- bitmaps ------------------------------------------------------------------------------- */

/* Rows of one bitmap block: a row of bits is eight words long, which is one AVX-512 vector. */
#define WV_BLOCK_WORDS 8
#define WV_BLOCK_ROWS (64 * WV_BLOCK_WORDS)

/* 64 rows of 64 bits turned over: bit j of word i becomes bit i of word j, for eight such squares
 * at once; square g is rows 64 * g ... 64 * g + 63, and what comes out is [bit][square]. */
WV_INLINE void wv_turn_body(const uint64_t *WV_RESTRICT rows, uint64_t *WV_RESTRICT columns)
{
    uint64_t a[64][WV_BLOCK_WORDS];
    for (int i = 0; i < 64; i++)
        for (int g = 0; g < WV_BLOCK_WORDS; g++)
            a[i][g] = rows[64 * g + i];
#define WV_TURN_STEP(J, M)                                                                     \
    for (int k = 0; k < 64; k += 2 * J)                                                        \
        for (int i = k; i < k + J; i++)                                                        \
            for (int g = 0; g < WV_BLOCK_WORDS; g++) {                                         \
                const uint64_t t = ((a[i][g] >> J) ^ a[i + J][g]) & M;                         \
                a[i][g] ^= t << J;                                                             \
                a[i + J][g] ^= t;                                                              \
            }
    WV_TURN_STEP(32, 0x00000000ffffffffULL)
    WV_TURN_STEP(16, 0x0000ffff0000ffffULL)
    WV_TURN_STEP(8, 0x00ff00ff00ff00ffULL)
    WV_TURN_STEP(4, 0x0f0f0f0f0f0f0f0fULL)
    WV_TURN_STEP(2, 0x3333333333333333ULL)
    WV_TURN_STEP(1, 0x5555555555555555ULL)
#undef WV_TURN_STEP
    memcpy(columns, a, sizeof a);
}

/* Every node of the decision graph for a block of rows. Nodes lead to earlier ones, so one pass in
 * order settles all; `value` holds FALSE and TRUE in its first two rows. */
WV_INLINE void wv_decide_body(const uint64_t *WV_RESTRICT leaves, const uint32_t *leaf,
                              const uint32_t *low, const uint32_t *high, uint32_t n_nodes,
                              uint64_t *value)
{
    for (uint32_t n = 2; n < n_nodes; n++) {
        const uint64_t *on = leaves + (size_t)leaf[n] * WV_BLOCK_WORDS;
        const uint64_t *no = value + (size_t)low[n] * WV_BLOCK_WORDS;
        const uint64_t *yes = value + (size_t)high[n] * WV_BLOCK_WORDS;
        uint64_t result[WV_BLOCK_WORDS];
        for (int g = 0; g < WV_BLOCK_WORDS; g++)
            result[g] = no[g] ^ (on[g] & (no[g] ^ yes[g]));
        memcpy(value + (size_t)n * WV_BLOCK_WORDS, result, sizeof result);
    }
}

/* Bits to bytes of 0 and 255. */
WV_INLINE void wv_spread_body(const uint64_t *bits, uint32_t n_words, uint8_t *out)
{
    for (uint32_t w = 0; w < n_words; w++) {
        const uint64_t word = bits[w];
        for (int k = 0; k < 8; k++) {
            /* Eight copies of eight bits, each keeping its own; what is left becomes 255. */
            uint64_t eight = ((word >> (8 * k)) & 0xff) * 0x0101010101010101ULL;
            eight &= 0x8040201008040201ULL;
            eight = ((eight + 0x7f7f7f7f7f7f7f7fULL) & 0x8080808080808080ULL) >> 7;
            eight *= 0xff;
            memcpy(out + 64 * (size_t)w + 8 * k, &eight, 8);
        }
    }
}

/* rows[i] |= one word of the mask of code[i]; masks are `width` words long. */
WV_INLINE void wv_gather_codes(const uint64_t *masks, size_t width,
                               const uint32_t *WV_RESTRICT codes, size_t n,
                               uint64_t *WV_RESTRICT rows)
{
    if (width == 1) {
        for (size_t i = 0; i < n; i++)
            rows[i] |= masks[codes[i]];
        return;
    }
    for (size_t i = 0; i < n; i++)
        rows[i] |= masks[codes[i] * width];
}

/* The same where some codes are `number`: then the mask is that of the interval number i lies in.
 * Both are looked up, since which one counts is hard to foresee. */
WV_INLINE void wv_gather_numbers(const uint64_t *masks, size_t width,
                                 const uint32_t *WV_RESTRICT codes, uint32_t number,
                                 const uint64_t *number_masks,
                                 const uint32_t *WV_RESTRICT interval, size_t n,
                                 uint64_t *WV_RESTRICT rows)
{
    for (size_t i = 0; i < n; i++)
        rows[i] |= masks[codes[i] * width]
                   | (number_masks[interval[i] * width]
                      & ((uint64_t)0 - (codes[i] == number)));
}

/* ---- one compiled copy per level ----------------------------------------------------------- */

typedef struct {
    void (*hash_rows)(const wv_rows *, uint32_t, uint32_t, uint32_t, uint32_t *);
    void (*unhash_rows)(const wv_rows *, uint32_t, uint32_t, uint32_t *);
    void (*admit)(const uint32_t *, uint32_t, const uint8_t *, uint8_t *, uint32_t);
    void (*probe)(const wv_rows *, uint32_t, uint32_t, const uint32_t *, uint8_t *);
    void (*exclude)(const uint8_t *, const uint8_t *, uint8_t *, uint32_t);
    void (*pick)(const uint8_t *, const uint8_t *, uint8_t, uint8_t, uint8_t *, uint32_t);
    void (*choose)(const uint32_t *, const uint8_t *, const uint32_t *, const uint8_t *, uint32_t,
                   uint8_t, uint8_t *, uint32_t);
    void (*mix_rows)(const uint64_t *, uint64_t, uint32_t *, uint32_t *, uint32_t);
    void (*mix_words)(uint32_t *, size_t);
    void (*turn)(const uint64_t *, uint64_t *);
    void (*decide)(const uint64_t *, const uint32_t *, const uint32_t *, const uint32_t *,
                   uint32_t, uint64_t *);
    void (*spread)(const uint64_t *, uint32_t, uint8_t *);
} wv_row_kernels;

#define WV_DEFINE_ROW_LEVEL(suffix, attribute)                                                   \
    attribute static void wv_hash_rows_##suffix(const wv_rows *r, uint32_t s, uint32_t t,        \
                                                uint32_t l, uint32_t *o)                         \
    {                                                                                            \
        wv_hash_rows_body(r, s, t, l, o);                                                        \
    }                                                                                            \
    attribute static void wv_unhash_rows_##suffix(const wv_rows *r, uint32_t t, uint32_t l,      \
                                                  uint32_t *o)                                   \
    {                                                                                            \
        wv_unhash_rows_body(r, t, l, o);                                                         \
    }                                                                                            \
    attribute static void wv_admit_##suffix(const uint32_t *h, uint32_t l, const uint8_t *a,     \
                                            uint8_t *in, uint32_t n)                             \
    {                                                                                            \
        wv_admit_body(h, l, a, in, n);                                                           \
    }                                                                                            \
    attribute static void wv_probe_##suffix(const wv_rows *r, uint32_t s, uint32_t t,            \
                                            const uint32_t *w, uint8_t *is)                      \
    {                                                                                            \
        wv_probe_body(r, s, t, w, is);                                                           \
    }                                                                                            \
    attribute static void wv_exclude_##suffix(const uint8_t *is, const uint8_t *a, uint8_t *in,  \
                                              uint32_t n)                                        \
    {                                                                                            \
        wv_exclude_body(is, a, in, n);                                                           \
    }                                                                                            \
    attribute static void wv_pick_##suffix(const uint8_t *is, const uint8_t *in, uint8_t p,      \
                                           uint8_t i, uint8_t *o, uint32_t n)                    \
    {                                                                                            \
        wv_pick_body(is, in, p, i, o, n);                                                        \
    }                                                                                            \
    attribute static void wv_choose_##suffix(const uint32_t *h, const uint8_t *in,               \
                                             const uint32_t *l, const uint8_t *d, uint32_t n,    \
                                             uint8_t i, uint8_t *o, uint32_t g)                  \
    {                                                                                            \
        wv_choose_body(h, in, l, d, n, i, o, g);                                                 \
    }                                                                                            \
    attribute static void wv_mix_rows_##suffix(const uint64_t *v, uint64_t s, uint32_t *t,       \
                                               uint32_t *d, uint32_t n)                          \
    {                                                                                            \
        wv_mix_rows_body(v, s, t, d, n);                                                         \
    }                                                                                            \
    attribute static void wv_mix_words_##suffix(uint32_t *w, size_t n)                           \
    {                                                                                            \
        wv_mix_words_body(w, n);                                                                 \
    }                                                                                            \
    attribute static void wv_turn_##suffix(const uint64_t *r, uint64_t *c)                       \
    {                                                                                            \
        wv_turn_body(r, c);                                                                      \
    }                                                                                            \
    attribute static void wv_decide_##suffix(const uint64_t *l, const uint32_t *n,               \
                                             const uint32_t *lo, const uint32_t *hi, uint32_t k, \
                                             uint64_t *v)                                        \
    {                                                                                            \
        wv_decide_body(l, n, lo, hi, k, v);                                                      \
    }                                                                                            \
    attribute static void wv_spread_##suffix(const uint64_t *b, uint32_t n, uint8_t *o)          \
    {                                                                                            \
        wv_spread_body(b, n, o);                                                                 \
    }                                                                                            \
    static const wv_row_kernels wv_kernels_##suffix = {                                          \
        wv_hash_rows_##suffix, wv_unhash_rows_##suffix, wv_admit_##suffix,  wv_probe_##suffix,   \
        wv_exclude_##suffix,   wv_pick_##suffix,        wv_choose_##suffix, wv_mix_rows_##suffix, \
        wv_mix_words_##suffix, wv_turn_##suffix,        wv_decide_##suffix, wv_spread_##suffix};

WV_DEFINE_ROW_LEVEL(baseline, )
#if WV_X86
WV_DEFINE_ROW_LEVEL(avx2, WV_TARGET_AVX2)
WV_DEFINE_ROW_LEVEL(avx512, WV_TARGET_AVX512)
#endif

WV_UNUSED static const wv_row_kernels *wv_row_kernels_at(int level)
{
#if WV_X86
    if (level == WV_LEVEL_AVX512)
        return &wv_kernels_avx512;
    if (level == WV_LEVEL_AVX2)
        return &wv_kernels_avx2;
#endif
    (void)level;
    return &wv_kernels_baseline;
}

#endif
