/* Text and number primitives: search, hashing for lookup tables, number parsing, scanning. */
#ifndef WHICHVARIANT_TEXT_H
#define WHICHVARIANT_TEXT_H

#if !defined(_GNU_SOURCE) && !defined(_WIN32)
#define _GNU_SOURCE /* memmem */
#endif
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

WV_INLINE uint64_t wv_load64(const char *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

WV_INLINE uint32_t wv_load32(const char *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

/* A hash for lookup tables within one process; never stored, never part of a decision. */
WV_INLINE uint64_t wv_hash_text(const char *p, size_t n)
{
    uint64_t a, b, h = 0x9e3779b97f4a7c15ULL ^ n;
    if (n >= 8) {
        const char *last = p + n - 8;
        b = wv_load64(last);
        for (; p < last; p += 8) {
            h = (h ^ wv_load64(p)) * 0xff51afd7ed558ccdULL;
            h ^= h >> 32;
        }
        a = 0;
    } else if (n >= 4) {
        a = wv_load32(p);
        b = wv_load32(p + n - 4);
    } else if (n > 0) {
        a = (uint8_t)p[0];
        b = ((uint64_t)(uint8_t)p[n / 2] << 8) | (uint8_t)p[n - 1];
    } else {
        a = b = 0;
    }
    h = (h ^ a) * 0xc4ceb9fe1a85ec53ULL;
    h ^= h >> 29;
    h = (h ^ b) * 0x94d049bb133111ebULL;
    return h ^ (h >> 32);
}

/* Whether two texts of n bytes are the same. Most are short; then a call costs more than this. */
WV_INLINE int wv_same_text(const char *p, const char *q, size_t n)
{
    if (n >= 8) {
        if (wv_load64(p) != wv_load64(q) || wv_load64(p + n - 8) != wv_load64(q + n - 8))
            return 0;
        return n <= 16 || memcmp(p + 8, q + 8, n - 16) == 0;
    }
    if (n >= 4)
        return wv_load32(p) == wv_load32(q) && wv_load32(p + n - 4) == wv_load32(q + n - 4);
    return n == 0 || (p[0] == q[0] && p[n / 2] == q[n / 2] && p[n - 1] == q[n - 1]);
}

/* Visitors choose the text, so the time must not be worse than linear in n + m. A few candidates
 * are tried by hand, which settles short texts; then the C library's linear search takes over. */
WV_UNUSED static int wv_contains(const char *text, size_t n, const char *needle, size_t m)
{
    if (m == 0)
        return 1;
    if (n < m)
        return 0;
    const char *stop = text + (n - m) + 1;
    const char *at = text;
#if defined(_WIN32)
    /* No linear search in this C library. */
    for (;;) {
#else
    for (int tries = 0; tries < 8; tries++) {
#endif
        at = (const char *)memchr(at, (unsigned char)needle[0], (size_t)(stop - at));
        if (at == NULL)
            return 0;
        if (memcmp(at, needle, m) == 0)
            return 1;
        if (++at == stop)
            return 0;
    }
#if !defined(_WIN32)
    return memmem(at, (size_t)(text + n - at), needle, m) != NULL;
#endif
}

WV_UNUSED static const double wv_powers_of_ten[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                            1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                            1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Reads numeric text (docs/rules.md): [+-]?(digits[.digits*]|.digits)([eE][+-]?digits)?, in whole.
 *
 * Returns 0 when the text is not of that form. Otherwise 1, and *exact tells whether *out already
 * is the correctly rounded double (few digits, small exponent: one exact multiplication or
 * division); when not, the caller converts the same text with a full conversion. JSON numbers are
 * a subset of this form, so the scanner uses it too, after it has checked JSON's stricter grammar.
 */
WV_UNUSED static int wv_parse_number(const char *text, size_t n, double *out, int *exact)
{
    const char *p = text, *end = text + n;
    int negative = 0, significant = 0, any = 0, fraction = 0;
    long long digits = 0, exponent = 0;
    uint64_t mantissa = 0;
    if (p < end && (*p == '-' || *p == '+'))
        negative = *p++ == '-';
    if (p == end || !((*p >= '0' && *p <= '9') || *p == '.'))
        return 0;
    for (; p < end; p++) {
        unsigned d = (unsigned)(unsigned char)*p - '0';
        if (d > 9) {
            if (*p == '.' && !fraction) {
                fraction = 1;
                continue;
            }
            break;
        }
        any = 1;
        if (significant || d) {
            if (significant < 19)
                mantissa = mantissa * 10 + d;
            significant++;
        }
        digits += fraction;
        if (significant > 1000000 || digits > 1000000)
            significant = 1000001; /* far beyond the quick path; only the form still matters */
    }
    if (!any)
        return 0;
    if (p < end && (*p == 'e' || *p == 'E')) {
        int sign = 1;
        p++;
        if (p < end && (*p == '-' || *p == '+'))
            sign = *p++ == '-' ? -1 : 1;
        if (p == end || *p < '0' || *p > '9')
            return 0;
        for (; p < end && *p >= '0' && *p <= '9'; p++)
            if (exponent < 100000000)
                exponent = exponent * 10 + (*p - '0');
        exponent *= sign;
    }
    if (p != end)
        return 0;
    exponent -= digits;
    *exact = significant <= 19 && mantissa <= (1ULL << 53) && exponent >= -22 && exponent <= 22;
    if (mantissa == 0 && significant == 0) {
        *exact = 1;
        *out = negative ? -0.0 : 0.0;
    } else if (*exact) {
        double value = (double)mantissa;
        value = exponent < 0 ? value / wv_powers_of_ten[-exponent]
                             : value * wv_powers_of_ten[exponent];
        *out = negative ? -value : value;
    }
    return 1;
}

/* The first byte at or after p that is a quote, a backslash or a control character; end if none. */
WV_INLINE const char *wv_find_special(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);
    while (end - p >= 16) {
        const __m128i block = _mm_loadu_si128((const __m128i *)p);
        const __m128i hit = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, slash)),
            _mm_cmpeq_epi8(_mm_min_epu8(block, control), block));
        const int mask = _mm_movemask_epi8(hit);
        if (mask) {
#if defined(__GNUC__) || defined(__clang__)
            return p + __builtin_ctz((unsigned)mask);
#else
            break;
#endif
        }
        p += 16;
    }
#elif defined(__ARM_NEON)
    while (end - p >= 16) {
        const uint8x16_t block = vld1q_u8((const uint8_t *)p);
        const uint8x16_t hit = vorrq_u8(
            vorrq_u8(vceqq_u8(block, vdupq_n_u8('"')), vceqq_u8(block, vdupq_n_u8('\\'))),
            vcltq_u8(block, vdupq_n_u8(0x20)));
        if (vgetq_lane_u64(vreinterpretq_u64_u8(hit), 0)
            | vgetq_lane_u64(vreinterpretq_u64_u8(hit), 1))
            break;
        p += 16;
    }
#endif
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

/* Whether all bytes are below 0x80. */
WV_UNUSED static int wv_is_ascii(const char *p, size_t n)
{
    uint64_t seen = 0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        seen |= wv_load64(p + i) | wv_load64(p + i + 8) | wv_load64(p + i + 16)
                | wv_load64(p + i + 24);
    for (; i < n; i++)
        seen |= (uint64_t)((unsigned char)p[i] & 0x80u) << 56;
    return (seen & 0x8080808080808080ULL) == 0;
}

/* The offset of the first byte that is no part of well-formed UTF-8 (surrogates are none), or n. */
WV_UNUSED static size_t wv_utf8_error(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    while (i < n) {
        const unsigned char c = s[i];
        size_t more;
        unsigned char low = 0x80, high = 0xbf;
        if (c < 0x80) {
            /* Mostly ASCII: on to the next byte that is not, eight at a time. */
            while (i + 8 <= n && (wv_load64(text + i) & 0x8080808080808080ULL) == 0)
                i += 8;
            while (i < n && s[i] < 0x80)
                i++;
            continue;
        }
        if (c >= 0xc2 && c <= 0xdf) {
            more = 1;
        } else if (c >= 0xe0 && c <= 0xef) {
            more = 2;
            if (c == 0xe0)
                low = 0xa0;
            if (c == 0xed)
                high = 0x9f;
        } else if (c >= 0xf0 && c <= 0xf4) {
            more = 3;
            if (c == 0xf0)
                low = 0x90;
            if (c == 0xf4)
                high = 0x8f;
        } else {
            return i;
        }
        if (n - i <= more || s[i + 1] < low || s[i + 1] > high)
            return i;
        for (size_t k = 2; k <= more; k++)
            if ((s[i + k] & 0xc0) != 0x80)
                return i;
        i += more + 1;
    }
    return n;
}

#endif
