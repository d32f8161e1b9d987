/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses as bech32m text [BIP-350]: prefix, '1', 20 bytes in groups of 5 bits, checksum of 6
 * groups. */
#include "crypto/crypto.h"

#include <string.h>

enum {
    PAYLOAD_BYTES = 20,
    GROUPS =
        PAYLOAD_BYTES * 8 / 5, /* 160 bits are 32 groups exactly: there is no padding to check */
    CHECK_GROUPS = 6,
    HRP_MAX = 3,
};
_Static_assert(GROUPS * 5 == PAYLOAD_BYTES * 8, "an address fills its groups");
_Static_assert(HRP_MAX + 1 + GROUPS + CHECK_GROUPS < RR_ADDRESS_TEXT_BYTES, "the text fits");

#define BECH32M_CONST UINT32_C(0x2bc830a3) /* BIP-350 */

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static const char *prefix_of(bool test)
{
    return test ? "trr" : "rr";
}

/* One step of the BCH code over GF(32), generator of BIP-173. */
static uint32_t polymod_step(uint32_t check, uint8_t group)
{
    static const uint32_t generator[5] = {UINT32_C(0x3b6a57b2), UINT32_C(0x26508e6d),
                                          UINT32_C(0x1ea119fa), UINT32_C(0x3d4233dd),
                                          UINT32_C(0x2a1462b3)};
    uint32_t top = check >> 25;
    check = (check & UINT32_C(0x1ffffff)) << 5 ^ group;
    for (unsigned i = 0; i < 5; i++) {
        check ^= (top >> i & 1) != 0 ? generator[i] : 0;
    }
    return check;
}

/* Remainder over the prefix, expanded as BIP-173 has it, and the groups. */
static uint32_t polymod(const char *prefix, const uint8_t *groups, size_t count)
{
    uint32_t check = 1;
    for (const char *c = prefix; *c != '\0'; c++) {
        check = polymod_step(check, (uint8_t)*c >> 5);
    }
    check = polymod_step(check, 0);
    for (const char *c = prefix; *c != '\0'; c++) {
        check = polymod_step(check, (uint8_t)*c & 31);
    }
    for (size_t i = 0; i < count; i++) {
        check = polymod_step(check, groups[i]);
    }
    return check;
}

static void groups_of_bytes(uint8_t groups[static GROUPS],
                            const uint8_t bytes[static PAYLOAD_BYTES])
{
    for (unsigned i = 0; i < GROUPS; i++) {
        unsigned value = 0;
        for (unsigned bit = 5 * i; bit < 5 * i + 5; bit++) {
            value = value << 1 | (bytes[bit / 8] >> (7 - bit % 8) & 1U);
        }
        groups[i] = (uint8_t)value;
    }
}

static void bytes_of_groups(uint8_t bytes[static PAYLOAD_BYTES],
                            const uint8_t groups[static GROUPS])
{
    memset(bytes, 0, PAYLOAD_BYTES);
    for (unsigned bit = 0; bit < PAYLOAD_BYTES * 8; bit++) {
        unsigned value = groups[bit / 5] >> (4 - bit % 5) & 1U;
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] | value << (7 - bit % 8));
    }
}

void rr_address_text(char text[static RR_ADDRESS_TEXT_BYTES], const struct rr_address *address,
                     bool test)
{
    const char *prefix = prefix_of(test);
    uint8_t groups[GROUPS + CHECK_GROUPS] = {0};
    groups_of_bytes(groups, address->bytes);
    uint32_t check = polymod(prefix, groups, RR_COUNT(groups)) ^ BECH32M_CONST;
    for (unsigned i = 0; i < CHECK_GROUPS; i++) {
        groups[GROUPS + i] = (uint8_t)(check >> 5 * (CHECK_GROUPS - 1 - i) & 31);
    }
    size_t len = strlen(prefix);
    memcpy(text, prefix, len);
    text[len++] = '1';
    for (size_t i = 0; i < RR_COUNT(groups); i++) {
        text[len++] = alphabet[groups[i]];
    }
    text[len] = '\0';
}

/* Lower-cases text of exactly `len` characters into lower; false on other lengths or mixed case. */
static bool fold_case(char *lower, const char *text, size_t len)
{
    bool any_upper = false;
    bool any_lower = false;
    if (strnlen(text, len + 1) != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        bool upper = text[i] >= 'A' && text[i] <= 'Z';
        any_upper = any_upper || upper;
        any_lower = any_lower || (text[i] >= 'a' && text[i] <= 'z');
        lower[i] = upper ? (char)(text[i] - 'A' + 'a') : text[i];
    }
    return !(any_upper && any_lower);
}

bool rr_address_parse(struct rr_address *out, const char *text, bool test)
{
    const char *prefix = prefix_of(test);
    size_t prefix_len = strlen(prefix);
    size_t len = prefix_len + 1 + GROUPS + CHECK_GROUPS;
    char lower[RR_ADDRESS_TEXT_BYTES];
    uint8_t groups[GROUPS + CHECK_GROUPS];
    if (!fold_case(lower, text, len) || memcmp(lower, prefix, prefix_len) != 0 ||
        lower[prefix_len] != '1') {
        return false;
    }
    for (size_t i = 0; i < RR_COUNT(groups); i++) {
        const char *at = memchr(alphabet, lower[prefix_len + 1 + i], sizeof alphabet - 1);
        if (at == NULL) {
            return false;
        }
        groups[i] = (uint8_t)(at - alphabet);
    }
    if (polymod(prefix, groups, RR_COUNT(groups)) != BECH32M_CONST) {
        return false;
    }
    bytes_of_groups(out->bytes, groups);
    return true;
}
